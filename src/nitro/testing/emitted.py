"""`captured`: what an application emits while a test runs, in order, as it is in the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, overload

from nitro.brokers.base import PositionLost
from nitro.delivery.hub import Hub
from nitro.delivery.process import connect_broker, flush, get_hub
from nitro.errors import NitroError
from nitro.messages.message import Position
from nitro.messages.topics import check_pattern, is_reserved, matches

__all__ = ["Captured", "Emitted", "captured"]

_ALL: Final = 1_000_000


class Emitted(NamedTuple):
    """One event that was emitted with a result.

    Attributes:
        topic: the event's name.
        sender: the sender's key; None for `ANY`.
        data: the result, decoded from the JSON that clients get.
    """

    topic: str
    sender: str | None
    data: Any


class Captured(Sequence[Emitted]):
    """What was emitted so far; afterwards, what was emitted in the block."""

    def __init__(self, hub: Hub, pattern: str) -> None:
        connect_broker()
        flush()  # what was emitted before is in the log, and before its head
        self._hub = hub
        self._pattern = pattern
        self._begin: Position = hub.broker.head
        self._end: list[Emitted] | None = None

    def _all(self) -> list[Emitted]:
        if self._end is not None:
            return self._end
        flush()
        try:
            messages = self._hub.broker.read(self._begin, _ALL)
        except PositionLost:
            raise NitroError(
                "the log doesn't go back to where the block began; raise NITRO_HISTORY_MESSAGES, "
                "NITRO_HISTORY_BYTES or NITRO_HISTORY_SECONDS, whichever it has exceeded, or capture less at a time"
            ) from None
        return [
            Emitted(message.topic, message.sender, message.data)
            for message in messages
            if not is_reserved(message.topic) and matches(self._pattern, message.topic)
        ]

    def _close(self) -> None:
        self._end = self._all()

    @overload
    def __getitem__(self, place: int) -> Emitted: ...

    @overload
    def __getitem__(self, place: slice) -> list[Emitted]: ...

    def __getitem__(self, place: int | slice) -> Emitted | list[Emitted]:
        return self._all()[place]

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (list(other) if isinstance(other, Sequence) else other)

    def __repr__(self) -> str:
        return repr(self._all())


@contextmanager
def captured(pattern: str = "*") -> Iterator[Captured]:
    """What is emitted in the block: `with captured("todo.*") as emitted: …; assert emitted[0].topic == "todo.created"`.

    A list in order, which can be looked at in the block and after it. It has what clients may hear: events of the
    default namespace with a result, which no handler has cancelled; those of a transaction once it is committed. Over a
    broker that is shared, it has what other processes emit meanwhile, too.

    Args:
        pattern: which topics.

    Raises:
        InvalidTopic, TopicTypeError: it is no pattern.
        NitroError: when it is looked at, or at the end: the log retains less than was emitted since the beginning.
        BrokerUnavailable, BrokerRefused: at the beginning: the broker is not there, or has not acknowledged what was
            emitted before; when it is looked at: it has not acknowledged what was emitted.
    """
    found = Captured(get_hub(), check_pattern(pattern))
    try:
        yield found
    finally:
        found._close()
