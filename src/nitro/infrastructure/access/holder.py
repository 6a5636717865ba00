"""Holder: for whom a client listens, and until when."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, NamedTuple

from nitro.errors import ConfigurationError

__all__ = ["NO_HOLDER", "Holder", "monotonic_end", "unix_seconds"]


class Holder(NamedTuple):
    """Set once, by whoever made the client.

    Attributes:
        user_id: whom `disconnect_user` means, and whose clients are counted together.
        expires_at: when the client is ended, on the clock of `time.monotonic`; None for never.
    """

    user_id: str | None = None
    expires_at: float | None = None


NO_HOLDER: Final = Holder()
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
