"""The router: from a message's topic and sender to the feeds that hear it.

Fed by the lane; depends on nothing else. The cost of a look-up depends on the length of the topic and on how many feeds
match, not on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from nitro.access.permissions import SenderKeys
from nitro.delivery.interest import Interest
from nitro.messages.message import Message
from nitro.messages.pattern_index import PatternIndex

__all__ = ["Router"]


class HasInterest(Protocol):
    @property
    def interest(self) -> Interest: ...

    def __hash__(self) -> int: ...


F = TypeVar("F", bound=HasInterest)


class Router(Generic[F]):
    """An index of feeds by what they hear. Not thread-safe: it belongs to one lane."""

    def __init__(self) -> None:
        self._index: PatternIndex[F | _Listeners[F]] = PatternIndex()
        """By pattern; most have one feed that hears all senders, which is then stored without `_Listeners`."""

    def add(self, feed: F) -> None:
        """Index `feed` under each of its subscriptions."""
        for pattern, senders in _heard(feed.interest):
            listeners = self._index.get(pattern)
            if listeners is None and senders is None:
                self._index.put(pattern, feed)
                continue
            if not isinstance(listeners, _Listeners):
                listeners = _Listeners(listeners)
                self._index.put(pattern, listeners)
            listeners.add(feed, senders)

    def remove(self, feed: F) -> None:
        """Remove `feed`, and all entries of the index that only it needed."""
        for pattern, senders in _heard(feed.interest):
            listeners = self._index.get(pattern)
            if isinstance(listeners, _Listeners):
                listeners.remove(feed, senders)
                if listeners:
                    continue
            self._index.remove(pattern)

    def route(self, message: Message) -> Iterable[F]:
        """The feeds that hear `message`, each once."""
        found: dict[F, None] = {}
        for listeners in self._index.matching(message.topic):
            if isinstance(listeners, _Listeners):
                listeners.collect(message.sender, found)
            else:
                found[listeners] = None
        kind = (message.topic, message.sender)
        withheld = [feed for feed in found if feed.interest.is_narrowed and not feed.interest.lets_through(kind)]
        for feed in withheld:
            del found[feed]
        return found

    @property
    def compared(self) -> int:
        """How many patterns have been compared with a topic letter by letter so far."""
        return self._index.compared

    def __repr__(self) -> str:
        return f"<Router by {self._index!r}>"


def _heard(interest: Interest) -> list[tuple[str, SenderKeys]]:
    """The subscriptions that hear at least one sender."""
    return [pair for pair in interest.subscriptions if pair[1] is None or pair[1]]


class _Listeners(Generic[F]):
    """The feeds of one pattern: those that hear every sender, and those that hear some.

    Args:
        feed: a feed that hears every sender; None if there is none so far.
    """

    __slots__ = ("by_sender", "of_all")

    def __init__(self, feed: F | None) -> None:
        self.of_all: dict[F, None] = {} if feed is None else {feed: None}
        self.by_sender: dict[str, dict[F, None]] | None = None

    def add(self, feed: F, senders: SenderKeys) -> None:
        if senders is None:
            self.of_all[feed] = None
        else:
            if self.by_sender is None:
                self.by_sender = {}
            for sender in senders:
                self.by_sender.setdefault(sender, {})[feed] = None

    def remove(self, feed: F, senders: SenderKeys) -> None:
        if senders is None:
            del self.of_all[feed]
        elif self.by_sender is not None:
            for sender in senders:
                feeds = self.by_sender[sender]
                del feeds[feed]
                if not feeds:
                    del self.by_sender[sender]

    def collect(self, sender: str | None, found: dict[F, None]) -> None:
        found.update(self.of_all)
        if sender is not None and self.by_sender:
            feeds = self.by_sender.get(sender)
            if feeds is not None:
                found.update(feeds)

    def __bool__(self) -> bool:
        return bool(self.of_all or self.by_sender)
