"""Inspection: what an inspector tells all processes in the log: that somebody looks, or that a client is to be ended.

It is published under a reserved topic, which applications can't emit and clients never hear. What processes answer is
not in the log, where it would push application events out.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Self

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

__all__ = ["INSPECTION", "Inspection"]

INSPECTION: Final = "nitro.inspection"


class Inspection(NamedTuple):
    """What one inspector says.

    Attributes:
        kind: `"look"`: somebody looks, for some seconds more; `"disconnect"`: end a client.
        client: the key of that client, which no other process has.
        stop: whether its browser is told not to reconnect.
    """

    kind: Literal["look", "disconnect"]
    client: str = ""
    stop: bool = False

    @property
    def payload(self) -> bytes:
        """It as JSON."""
        return to_json(list(self))

    @classmethod
    def parse(cls, payload: bytes) -> Self | None:
        """What `payload` says; None if it is invalid, since others may write to the log."""
        try:
            return _INSPECTION.validate_json(payload)  # type: ignore[return-value]
        except ValidationError:
            return None


_INSPECTION: Final = TypeAdapter(Inspection)
