"""State frames: what clients of a live query get as JSON, in the words of the State Protocol."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json

from nitro.delivery.query import Operation, Shown
from nitro.live.model import LiveTable
from nitro.messages.one_line import on_one_line

__all__ = ["PART_BYTES", "StateFrames"]

PART_BYTES: Final = 64 * 1024
"""A snapshot is sent in parts of about this size."""
_CONTROL: Final = b'{"headers":{"control":"%b"}}'


class StateFrames:
    """Each payload is a JSON array of messages: an insert, an update or a delete of a row, or where a snapshot is.

    Attributes: see `Frames`.
    """

    markup: str | None = None
    fingerprint: str | None = None

    def __init__(self, model: LiveTable) -> None:
        self.shown_as: Hashable = model.topic
        self._model = model
        self._head = b'{"type":%b,"key":' % to_json(model.topic)

    def value(self, _: str, values: Mapping[str, Any]) -> bytes:
        return to_json(self._model.shown_values(values), inf_nan_mode="null")

    def encode(self, operations: Sequence[Operation]) -> bytes:
        return on_one_line(b"[%b]" % b",".join([self._encoded(*each[:3]) for each in operations]))

    def snapshot(self, rows: Sequence[Shown], *, is_reset: bool) -> list[bytes]:
        parts = [b"[%b]" % (_CONTROL % b"reset")] if is_reset else []
        part = [_CONTROL % b"snapshot-start"]
        size = 0
        for key, value in rows:
            part.append(self._encoded("insert", key, value))
            size += len(part[-1])
            if size > PART_BYTES:
                parts.append(on_one_line(b"[%b]" % b",".join(part)))
                part, size = [], 0
        part.append(_CONTROL % b"snapshot-end")
        return [*parts, on_one_line(b"[%b]" % b",".join(part))]

    def _encoded(self, operation: str, key: str, value: bytes | None) -> bytes:
        shown = b"" if value is None else b',"value":%b' % value
        return b'%b%b%b,"headers":{"operation":"%b"}}' % (self._head, to_json(key), shown, operation.encode())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StateFrames) and self._model is other._model

    def __hash__(self) -> int:
        return hash(self.shown_as)
