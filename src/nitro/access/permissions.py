"""Permissions: what a client may hear, whatever it asks for. Frozen and hashable, so that clients can share them.

Made from the application's grant; checked when a client subscribes, and again for each message, live and replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from nitro.messages.pattern_index import PatternIndex, compared_among
from nitro.messages.topics import matches

__all__ = ["Lookup", "Permissions", "SenderKeys", "Subscribed", "without_contained"]

SenderKeys = frozenset[str] | None
"""Keys of senders, or None for all of them."""
Subscribed = frozenset[tuple[str, SenderKeys]]
"""Pairs of a pattern and its senders."""

_FEW: Final = 8
"""Up to this many patterns are compared one by one; more are indexed."""


class Lookup:
    """Finds the senders of the patterns that match a topic."""

    __slots__ = ("_beginnings", "_index", "_longest", "_pairs")

    def __init__(self, pairs: Subscribed) -> None:
        self._pairs = pairs
        wide = [pattern[:-1] for pattern, senders in pairs if senders is None and pattern.find("*") == len(pattern) - 1]
        self._beginnings = tuple(wide) if len(wide) <= _FEW else ()
        """Prefixes of the patterns for all senders whose only star is at the end, the most common kind."""
        self._longest = max(map(len, self._beginnings), default=0)
        self._index: PatternIndex[tuple[str, SenderKeys]] | None = None

    def senders(self, topic: str) -> list[SenderKeys]:
        """The senders of each pattern that matches `topic` or, if `topic` is a pattern, contains it.

        A pattern contains another one (matches every topic that it matches) exactly if it matches the other's text,
        where a `*` in that text is matched by a `*` alone. For patterns whose `*` is never empty, over three characters
        or more, this is a theorem (T. Shinohara, Polynomial time inference of extended regular pattern languages,
        1982). A union of patterns contains a pattern only if one of them does: with the 65 characters of topics this is
        exact for fewer than 33 patterns (M. Sato, Y. Mukouchi, D. Zheng, Characteristic sets for unions of regular
        pattern languages, 1998), and errs towards denial for more.
        """
        if len(self._pairs) <= _FEW:
            return [senders for pattern, senders in self._pairs if matches(pattern, topic)]
        if self._index is None:
            self._index = PatternIndex.of((pair[0], pair) for pair in self._pairs)
        return [senders for _, senders in self._index.matching(topic)]

    def is_whole(self, topic: str) -> bool:
        """Whether a prefix shows that `topic` is matched or contained for all senders. False may be wrong."""
        return len(topic) > self._longest and topic.startswith(self._beginnings)

    def has(self, topic: str, sender: str | None) -> bool:
        """Whether a pattern matches `topic` and includes `sender`."""
        return self.is_whole(topic) or any(senders is None or sender in senders for senders in self.senders(topic))

    @property
    def compared(self) -> int:
        """Number of character-by-character comparisons that its index has made so far."""
        return 0 if self._index is None else self._index.compared


_MANY: Final = 64
_NOTHING: Final = Lookup(frozenset())


def without_contained(patterns: Mapping[str, SenderKeys]) -> Iterable[tuple[str, SenderKeys]]:
    """`patterns` without the redundant ones: those with a star that another pattern for all senders contains.

    If there are many, only patterns with two stars or more, which cost time for each event, are checked.
    """
    stars = [pattern for pattern in patterns if "*" in pattern]
    looked_at = stars if len(stars) <= _MANY else compared_among(stars)
    if len(stars) < 2 or not looked_at:
        return patterns.items()
    index = PatternIndex.of((pattern, pattern) for pattern in stars if patterns[pattern] is None)
    needless = {star for star in looked_at if any(each != star for each in index.matching(star))}
    return [pair for pair in patterns.items() if pair[0] not in needless]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What is allowed and not denied.

    Attributes:
        allowed: pairs of a pattern and the senders that it allows; None allows everything.
        denied: pairs of a pattern and the senders that it denies; takes precedence over `allowed`.
    """

    allowed: Subscribed | None
    denied: Subscribed
    _allows: Lookup | None = field(init=False, repr=False, compare=False)
    _denies: Lookup = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allows", None if self.allowed is None else Lookup(self.allowed))
        object.__setattr__(self, "_denies", Lookup(self.denied) if self.denied else _NOTHING)
        object.__setattr__(self, "_hash", hash((self.allowed, self.denied)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(cls, allowed: Mapping[str, SenderKeys] | None, denied: Mapping[str, SenderKeys]) -> Self:
        """Permissions from mappings of patterns to senders, without redundant patterns."""
        return cls(
            None if allowed is None else frozenset(without_contained(allowed)), frozenset(without_contained(denied))
        )

    @property
    def lookups(self) -> tuple[Lookup | None, Lookup]:
        """The lookups of what is allowed, None for everything, and of what is denied."""
        return self._allows, self._denies

    def permits(self, topic: str, sender: str | None) -> bool:
        """Whether messages with this topic and sender may be heard."""
        is_allowed = self._allows is None or self._allows.has(topic, sender)
        return is_allowed and not self._denies.has(topic, sender)

    def has_all_of(self, topic: str) -> bool:
        """Whether messages with this topic may be heard whoever their sender is."""
        is_allowed = self._allows is None or self._allows.is_whole(topic)
        return is_allowed and not self._denies.senders(topic)

    def cover(self, pattern: str, senders: SenderKeys) -> bool:
        """Whether a client may subscribe to `pattern`: all of it is allowed, and not all of it is denied.

        A subscription to all senders hears those that are allowed; one that names senders needs all of them allowed.
        """
        if self.denied and None in self._denies.senders(pattern):
            return False
        if self._allows is None or self._allows.is_whole(pattern):
            return True
        found = self._allows.senders(pattern)
        return bool(found) and (
            senders is None or None in found or senders <= frozenset().union(*(some for some in found if some))
        )
