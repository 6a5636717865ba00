"""The state of a stream: everything that a store keeps of it beside its records, as one JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from nitro.errors import InvalidPayload

__all__ = ["Fork", "Producer", "StreamState", "from_bytes", "to_bytes"]


class Producer(NamedTuple):
    """How far one idempotent producer is: its epoch, and the number of its last accepted batch in it."""

    epoch: int
    seq: int


class Fork(NamedTuple):
    """Where a fork leaves its source.

    Attributes:
        source: the key of the stream that it inherits from.
        version: the last record of the source, or of what that inherits from, that belongs to the fork.
        offset, sub_offset: what was asked for; asked again, the same is meant.
    """

    source: str
    version: int
    offset: str | None
    sub_offset: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream, but for its records.

    Attributes:
        id: differs for each stream that ever had this key.
        content_type: as it was given when it was created.
        ttl_seconds: it expires when it was neither read nor written for so long.
        expires_at: it expires then, in seconds since 1970.
        expires_text: the same, as it was given.
        is_closed: nothing can be appended any more.
        closed_by: the producer, epoch and number of the batch that closed it.
        is_deleted: it was deleted or has expired, but others that were forked from it still read its records.
        last_seq: the greatest `Stream-Seq` so far.
        producers: by their id; the one that wrote last is the last.
        fork: where it comes from, if it is a fork.
        forks: the keys of its forks.
        items, bytes: how many were appended.
        run: what a run keeps; None for any other stream.
    """

    id: str
    content_type: str
    ttl_seconds: float | None = None
    expires_at: float | None = None
    expires_text: str | None = None
    is_closed: bool = False
    closed_by: tuple[str, int, int] | None = None
    is_deleted: bool = False
    last_seq: str | None = None
    producers: Mapping[str, Producer] = field(default_factory=dict)
    fork: Fork | None = None
    forks: tuple[str, ...] = ()
    items: int = 0
    bytes: int = 0
    run: Mapping[str, Any] | None = None


_DEFAULTS: Final[dict[str, Any]] = {
    each.name: {} if each.name == "producers" else each.default for each in fields(StreamState)
}
_FIELDS: Final = attrgetter(*_DEFAULTS)


def to_bytes(state: StreamState) -> bytes:
    """The state as JSON, without what is as by default.

    Raises:
        InvalidPayload: it has what JSON can't hold.
    """
    values = zip(_DEFAULTS.items(), _FIELDS(state), strict=True)
    try:
        return to_json({name: value for (name, default), value in values if value != default})
    except ValueError as error:
        raise InvalidPayload(f"what is to be kept of a stream is no JSON: {error!a:.200}") from error


def from_bytes(text: bytes) -> StreamState:
    """The state that `to_bytes` wrote; fields that this version doesn't know are left out."""
    values = {name: value for name, value in from_json(text).items() if name in _DEFAULTS}
    if "producers" in values:
        values["producers"] = {id: Producer(*place) for id, place in values["producers"].items()}
    if "fork" in values:
        values["fork"] = Fork(*values["fork"])
    for name in ("closed_by", "forks"):
        if name in values:
            values[name] = tuple(values[name])
    return StreamState(**values)
