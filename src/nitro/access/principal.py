"""Principal: the user that a client belongs to, and when its rights end."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, Literal, NamedTuple

from nitro.errors import ConfigurationError

__all__ = ["ANONYMOUS", "Principal", "monotonic_end", "unix_seconds"]


class Principal(NamedTuple):
    """The user of a client, and when the client is ended. Times are on the clock of `time.monotonic`.

    Attributes:
        user_id: the user for `disconnect_user` and for the limits per user.
        expires_at: when the client's rights end, and the client with them; None for never.
        returns_at: when its stream reaches its maximum age and is ended, so that its browser reconnects and its rights
            are read again; None for never. The delivery sets it.
    """

    user_id: str | None = None
    expires_at: float | None = None
    returns_at: float | None = None

    @property
    def end(self) -> tuple[float, Literal["expired", "age"]] | None:
        """When the client is ended, and the reason, `"expired"` or `"age"`; None for never."""
        expires_at, returns_at = self.expires_at, self.returns_at
        if returns_at is not None and (expires_at is None or returns_at < expires_at):
            return returns_at, "age"
        return None if expires_at is None else (expires_at, "expired")


ANONYMOUS: Final = Principal()
_NEVER: Final = 1e12
"""Upper limit of seconds since 1970; larger values are taken for milliseconds by mistake."""


def unix_seconds(expires_at: datetime | float | None) -> float | None:
    """A wall-clock time, given as an aware datetime or seconds since 1970, in seconds since 1970.

    Raises:
        ConfigurationError: `expires_at` is a naive datetime, or neither of the two.
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
    """The same time on the clock of `time.monotonic`, which is never set back."""
    seconds = unix_seconds(expires_at)
    return None if seconds is None else time.monotonic() + (seconds - time.time())
