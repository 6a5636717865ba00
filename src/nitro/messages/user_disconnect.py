"""UserDisconnect: the message by which one process tells all others to disconnect a user's clients.

It is published to the log under a reserved topic, which applications can't emit and clients never hear.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from pydantic_core import from_json, to_json

__all__ = ["USER_DISCONNECT", "UserDisconnect"]

USER_DISCONNECT: Final = "nitro.dismissal"


class UserDisconnect(NamedTuple):
    """The order to disconnect all clients of a user.

    Attributes:
        user_id: the user.
        for_good: whether their browsers are told not to reconnect.
    """

    user_id: str
    for_good: bool

    @property
    def payload(self) -> bytes:
        """The order as JSON."""
        return to_json(self._asdict())

    @classmethod
    def parse(cls, payload: bytes) -> Self | None:
        """The order in `payload`; None if it is invalid, since others may write to the log."""
        try:
            fields = from_json(payload)
        except ValueError:
            return None
        if not isinstance(fields, dict) or set(fields) != set(cls._fields):
            return None
        order = cls(**fields)
        return order if isinstance(order.user_id, str) and isinstance(order.for_good, bool) else None
