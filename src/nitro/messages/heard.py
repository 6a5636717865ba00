"""Heard: a message as a reader gets it that is no client of this process, or asked for typed values."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple

from typing_extensions import TypeVar

__all__ = ["Heard"]

S = TypeVar("S", default=Any)


class Heard(NamedTuple, Generic[S]):
    """A message of a stream.

    Attributes:
        topic: the event's name; empty if the server sent it to this client alone, and for a run's items and its end.
        data: the result. If the reader asked for it `as_` an event, what that event's schema makes of it; else parsed
            from JSON, or text if it is no JSON or the listener was asked for text.
        id: its place in the server's log, or in its run, for `last_event_id`; None if it was sent to this client alone,
            and for a run's end.
    """

    topic: str
    data: S
    id: str | None
