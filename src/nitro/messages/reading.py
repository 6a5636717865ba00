"""Reading: what a reader that asked for typed values gets of each message. Fed by clients and listeners."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final, Generic, Protocol

from typing_extensions import TypeVar

from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidPayload
from nitro.messages.heard import Heard
from nitro.messages.message import Gap, Position

__all__ = ["HasSchema", "Reading"]

S = TypeVar("S", default=Any)
S_co = TypeVar("S_co", covariant=True)

log: Final = logging.getLogger("nitro.events")


class Decodes(Protocol[S_co]):
    """What an event has as its schema."""

    def decode(self, payload: str | bytes) -> S_co: ...


class HasSchema(Protocol[S_co]):
    """What `event()` returns."""

    @property
    def name(self) -> str: ...

    @property
    def schema(self) -> Decodes[S_co] | None: ...


class Reading(Generic[S]):
    """The schemas by which messages are read.

    Args:
        as_: an event with a schema, or several.

    Raises:
        ArgumentTypeError: it is no event.
        ConfigurationError: an event has no schema, or there is none.
    """

    def __init__(self, as_: HasSchema[S] | Iterable[HasSchema[S]]) -> None:
        is_one = isinstance(as_, str) or not isinstance(as_, Iterable)
        self._schemas: dict[str, Decodes[S]] = {}
        self._is_told: set[str] = set()
        for each in [as_] if is_one else list(as_):  # type: ignore[arg-type]  # not narrowed by `is_one`
            if not (hasattr(each, "schema") and hasattr(each, "name")):
                raise ArgumentTypeError(f"as_ takes the object that event() returns, or several, not {each!r:.80}")
            if each.schema is None:
                raise ConfigurationError(
                    f"messages can't be read as {each.name!r}, which has no schema: event({each.name!r}, schema=...)"
                )
            self._schemas[each.name] = each.schema
        if not self._schemas:
            raise ConfigurationError("as_ names no event; leave it out to get messages of every topic")

    @property
    def topics(self) -> list[str]:
        """The names of the events."""
        return list(self._schemas)

    def read(self, topic: str, payload: str | bytes, id: str | None) -> Heard[S] | Gap | None:
        """The message as its schema has it; a gap if it isn't one; None if it is of another event.

        Args:
            payload: its JSON.
            id: its place in the log; None if it has none.
        """
        schema = self._schemas.get(topic)
        if schema is None:
            return None
        try:
            return Heard(topic, schema.decode(payload), id)
        except InvalidPayload as error:
            if topic not in self._is_told:
                self._is_told.add(topic)
                log.warning("%s; its reader gets a gap, as for each further one of this event", error)
            return Gap("schema", Position.parse(id or "") or Position("none", 0))

    def __repr__(self) -> str:
        return f"<Reading {', '.join(self._schemas)}>"
