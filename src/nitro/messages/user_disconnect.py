"""UserDisconnect: what one process tells all others through the log, that a user's clients are to end.

It has a topic of Nitro's own, which no application can emit and no client hears.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from pydantic_core import from_json, to_json

__all__ = ["USER_DISCONNECT", "UserDisconnect"]

USER_DISCONNECT: Final = "nitro.order"


class UserDisconnect(NamedTuple):
    """The order to end all clients of a user.

    Attributes:
        user_id: whose.
        for_good: whether their browsers are told to stay away.
    """

    user_id: str
    for_good: bool

    @property
    def payload(self) -> bytes:
        """The order as JSON."""
        return to_json(self._asdict())

    @classmethod
    def parse(cls, payload: bytes) -> Self | None:
        """The order that `payload` spells; None if it is none, since a log may hold anything."""
        try:
            fields = from_json(payload)
        except ValueError:
            return None
        if not isinstance(fields, dict) or set(fields) != set(cls._fields):
            return None
        order = cls(**fields)
        return order if isinstance(order.user_id, str) and isinstance(order.for_good, bool) else None
