"""The router: from a message's topic and sender to the feeds that hear it.

Fed by the lane; asks nobody. The cost of a look-up depends on the length of the topic and on how many feeds
match, not on how many there are: exact topics and patterns of whole segments (`user.7.*`, `*.created`) are
found by dictionary, and only patterns with a star inside a segment or between segments are tried one by one,
among those that share their first or last segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from nitro.domain.message import Message
from nitro.domain.topics import EVERY_TOPIC, matches
from nitro.infrastructure.access.permissions import Senders
from nitro.infrastructure.delivery.interest import Interest

__all__ = ["Router"]


class HasInterest(Protocol):
    @property
    def interest(self) -> Interest: ...


F = TypeVar("F", bound=HasInterest)


class Router(Generic[F]):
    """An index of feeds by what they hear. Not thread-safe: it belongs to one lane."""

    def __init__(self) -> None:
        self._exact: dict[str, _Listeners[F]] = {}
        self._every: _Listeners[F] = _Listeners()
        self._by_prefix: dict[str, _Patterns[F]] = {}
        self._by_suffix: dict[str, _Patterns[F]] = {}
        self._odd: _Patterns[F] = _Patterns()

    def add(self, feed: F) -> None:
        """Index `feed` under each of its subscriptions."""
        for pattern, senders in feed.interest.subscriptions:
            self._listeners(pattern).add(feed, senders)

    def remove(self, feed: F) -> None:
        """Forget `feed`, and whatever of the index only served it."""
        for pattern, senders in feed.interest.subscriptions:
            self._listeners(pattern).remove(feed, senders)
            self._prune(pattern)

    def route(self, message: Message) -> Iterable[F]:
        """The feeds that hear `message`, each once."""
        found: dict[F, None] = {}
        for listeners in self._candidates(message.topic):
            listeners.collect(message.sender, found)
        kind = (message.topic, message.sender)
        withheld = [feed for feed in found if feed.interest.is_narrowed and not feed.interest.lets_through(kind)]
        for feed in withheld:
            del found[feed]
        return found

    def _candidates(self, topic: str) -> Iterator[_Listeners[F]]:
        exact = self._exact.get(topic)
        if exact is not None:
            yield exact
        yield self._every
        if self._odd.by_pattern:
            yield from self._odd.matching(topic)
        if not self._by_prefix and not self._by_suffix:
            return
        dot = topic.find(".")
        while dot >= 0:
            patterns = self._by_prefix.get(topic[: dot + 1])
            if patterns is not None:
                yield from patterns.matching(topic)
            patterns = self._by_suffix.get(topic[dot:])
            if patterns is not None:
                yield from patterns.matching(topic)
            dot = topic.find(".", dot + 1)

    def _listeners(self, pattern: str) -> _Listeners[F]:
        if pattern == EVERY_TOPIC:
            return self._every
        if "*" not in pattern:
            return self._exact.setdefault(pattern, _Listeners())
        index, key = self._place(pattern)
        patterns = self._odd if index is None else index.setdefault(key, _Patterns())
        return patterns.listeners(pattern, is_whole=pattern in (f"{key}*", f"*{key}"))

    def _place(self, pattern: str) -> tuple[dict[str, _Patterns[F]] | None, str]:
        """Which index holds `pattern`, and under which whole segments."""
        prefix = pattern[: pattern.rfind(".", 0, pattern.find("*")) + 1]
        if prefix:
            return self._by_prefix, prefix
        dot = pattern.find(".", pattern.rfind("*"))
        return (self._by_suffix, pattern[dot:]) if dot >= 0 else (None, "")

    def _prune(self, pattern: str) -> None:
        if "*" not in pattern:
            if not self._exact[pattern]:
                del self._exact[pattern]
        elif pattern != EVERY_TOPIC:
            index, key = self._place(pattern)
            patterns = self._odd if index is None else index[key]
            patterns.prune(pattern)
            if index is not None and not patterns:
                del index[key]

    def __repr__(self) -> str:
        return (
            f"<Router {len(self._exact)} topics, {len(self._by_prefix)} prefixes, "
            f"{len(self._by_suffix)} suffixes, {len(self._odd.by_pattern)} other patterns>"
        )


class _Listeners(Generic[F]):
    """The feeds of one pattern: those that hear every sender, and those that hear some."""

    __slots__ = ("all_senders", "by_sender")

    def __init__(self) -> None:
        self.all_senders: dict[F, None] = {}
        self.by_sender: dict[str, dict[F, None]] = {}

    def add(self, feed: F, senders: Senders) -> None:
        if senders is None:
            self.all_senders[feed] = None
        else:
            for sender in senders:
                self.by_sender.setdefault(sender, {})[feed] = None

    def remove(self, feed: F, senders: Senders) -> None:
        if senders is None:
            del self.all_senders[feed]
        else:
            for sender in senders:
                feeds = self.by_sender[sender]
                del feeds[feed]
                if not feeds:
                    del self.by_sender[sender]

    def collect(self, sender: str | None, found: dict[F, None]) -> None:
        if self.all_senders:
            found.update(self.all_senders)
        if sender is not None and self.by_sender:
            feeds = self.by_sender.get(sender)
            if feeds is not None:
                found.update(feeds)

    def __bool__(self) -> bool:
        return bool(self.all_senders or self.by_sender)


class _Patterns(Generic[F]):
    """Patterns that share their first or last segments; at most one of them needs no look at the rest."""

    __slots__ = ("by_pattern", "whole")

    def __init__(self) -> None:
        self.by_pattern: dict[str, _Listeners[F]] = {}
        self.whole: tuple[str, _Listeners[F]] | None = None

    def listeners(self, pattern: str, *, is_whole: bool) -> _Listeners[F]:
        if self.whole is not None and self.whole[0] == pattern:
            return self.whole[1]
        if is_whole:
            self.whole = (pattern, _Listeners())
            return self.whole[1]
        return self.by_pattern.setdefault(pattern, _Listeners())

    def matching(self, topic: str) -> Iterator[_Listeners[F]]:
        if self.whole is not None:
            yield self.whole[1]
        for pattern, listeners in self.by_pattern.items():
            if matches(pattern, topic):
                yield listeners

    def prune(self, pattern: str) -> None:
        if self.whole is not None and self.whole[0] == pattern:
            if not self.whole[1]:
                self.whole = None
        elif not self.by_pattern[pattern]:
            del self.by_pattern[pattern]

    def __bool__(self) -> bool:
        return self.whole is not None or bool(self.by_pattern)
