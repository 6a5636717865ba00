"""Principal: for whom a client listens, and until when."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, Literal, NamedTuple

from nitro.errors import ConfigurationError

__all__ = ["ANONYMOUS", "Principal", "monotonic_end", "unix_seconds"]


class Principal(NamedTuple):
    """Set by whoever made the client, but for `returns_at`.

    Attributes:
        user_id: whom `disconnect_user` means, and whose clients are counted together.
        expires_at: when its rights end, and the client with them, on the clock of `time.monotonic`; None for never.
        returns_at: when its stream is old enough to be ended, so that its browser comes back, and its rights are read
            again; on the same clock.
    """

    user_id: str | None = None
    expires_at: float | None = None
    returns_at: float | None = None

    @property
    def end(self) -> tuple[float, Literal["expired", "age"]] | None:
        """When the client is ended, and as what that counts: `"expired"` or `"age"`; None for never."""
        expires_at, returns_at = self.expires_at, self.returns_at
        if returns_at is not None and (expires_at is None or returns_at < expires_at):
            return returns_at, "age"
        return None if expires_at is None else (expires_at, "expired")


ANONYMOUS: Final = Principal()
_NEVER: Final = 1e12
"""Seconds since 1970 that no user means: they are milliseconds."""


def unix_seconds(expires_at: datetime | float | None) -> float | None:
    """A moment of the wall clock, an aware datetime or seconds since 1970, as the latter.

    Raises:
        ConfigurationError: it is a datetime without a time zone, or no moment at all.
    """
    if expires_at is None:
        return None
    if isinstance(expires_at, datetime):
        if expires_at.tzinfo is None:
            raise ConfigurationError("expires_at has no time zone: use datetime.now(UTC) + timedelta(…)")
        return expires_at.timestamp()
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or not abs(expires_at) < _NEVER:
        raise ConfigurationError(f"expires_at is an aware datetime or seconds since 1970, not {expires_at!r}")
    return float(expires_at)


def monotonic_end(expires_at: datetime | float | None) -> float | None:
    """The same moment on the clock of `time.monotonic`, which nobody sets back."""
    seconds = unix_seconds(expires_at)
    return None if seconds is None else time.monotonic() + (seconds - time.time())
