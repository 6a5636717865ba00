"""Permissions: what a client may hear, whatever it asks for. Frozen and hashable, so that clients can share them.

Made from what the application grants a client; asked when it subscribes, and again for each message on its way to it,
live and replayed.
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
"""So many patterns are compared one by one; of more, an index is made."""


class Lookup:
    """Finds the senders of those patterns that match a topic."""

    __slots__ = ("_beginnings", "_index", "_longest", "_pairs")

    def __init__(self, pairs: Subscribed) -> None:
        self._pairs = pairs
        wide = [pattern[:-1] for pattern, senders in pairs if senders is None and pattern.find("*") == len(pattern) - 1]
        self._beginnings = tuple(wide) if len(wide) <= _FEW else ()
        """Of patterns with one star, at their end, which are meant for all senders: most rights are such."""
        self._longest = max(map(len, self._beginnings), default=0)
        self._index: PatternIndex[tuple[str, SenderKeys]] | None = None

    def senders(self, topic: str) -> list[SenderKeys]:
        """Of each pattern that matches `topic`, or contains it, where it is a pattern itself.

        One contains another, has all topics that the other matches, exactly if it matches that one itself, letter by
        letter, with each `*` of it as a letter that only a `*` takes. For patterns in which no `*` stands for nothing,
        over three letters or more, that is a theorem (T. Shinohara, Polynomial time inference of extended regular
        pattern languages, 1982). Of several, one alone has to contain it; as long as they are fewer than 33, the 65
        letters of topics leave no other way to cover it (M. Sato, Y. Mukouchi, D. Zheng, Characteristic sets for unions
        of regular pattern languages, 1998), and beyond that the answer is the safe one.
        """
        if len(self._pairs) <= _FEW:
            return [senders for pattern, senders in self._pairs if matches(pattern, topic)]
        if self._index is None:
            self._index = PatternIndex.of((pair[0], pair) for pair in self._pairs)
        return [senders for _, senders in self._index.matching(topic)]

    def is_whole(self, topic: str) -> bool:
        """Whether one matches `topic`, or contains it, for all senders, as far as a glance shows: a no may be wrong."""
        return len(topic) > self._longest and topic.startswith(self._beginnings)

    def has(self, topic: str, sender: str | None) -> bool:
        """Whether some pattern matches `topic`, and is meant for `sender`."""
        return self.is_whole(topic) or any(senders is None or sender in senders for senders in self.senders(topic))

    @property
    def compared(self) -> int:
        """How many patterns its index has compared letter by letter so far."""
        return 0 if self._index is None else self._index.compared


_MANY: Final = 64
_NOTHING: Final = Lookup(frozenset())


def without_contained(patterns: Mapping[str, SenderKeys]) -> Iterable[tuple[str, SenderKeys]]:
    """`patterns`, but for those with a star that another contains, which is meant for all senders.

    Of very many only those are looked at that cost time for each event.
    """
    stars = [pattern for pattern in patterns if "*" in pattern]
    looked_at = stars if len(stars) <= _MANY else compared_among(stars)
    if len(stars) < 2 or not looked_at:  # one can't contain another
        return patterns.items()
    index = PatternIndex.of((pattern, pattern) for pattern in stars if patterns[pattern] is None)
    needless = {star for star in looked_at if any(each != star for each in index.matching(star))}
    return [pair for pair in patterns.items() if pair[0] not in needless]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What is allowed without being denied.

    Attributes:
        allowed: pairs of a pattern and the senders that it allows; None allows everything.
        denied: pairs of a pattern and the senders that it denies, whatever is allowed.
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
        """The permissions that these patterns, each with its senders, make up."""
        return cls(
            None if allowed is None else frozenset(without_contained(allowed)), frozenset(without_contained(denied))
        )

    @property
    def lookups(self) -> tuple[Lookup | None, Lookup]:
        """Of what is allowed, unless that is everything, and of what is denied."""
        return self._allows, self._denies

    def permits(self, topic: str, sender: str | None) -> bool:
        """Whether a message of that topic and sender may be heard."""
        is_allowed = self._allows is None or self._allows.has(topic, sender)
        return is_allowed and not self._denies.has(topic, sender)

    def cover(self, pattern: str, senders: SenderKeys) -> bool:
        """Whether one may subscribe so: some of it may be heard, and all of it is allowed.

        A subscription without senders asks for those senders that are allowed; one that names some has to be allowed
        all of them.
        """
        if self.denied and None in self._denies.senders(pattern):
            return False
        if self._allows is None or self._allows.is_whole(pattern):
            return True
        found = self._allows.senders(pattern)
        return bool(found) and (
            senders is None or None in found or senders <= frozenset().union(*(some for some in found if some))
        )
