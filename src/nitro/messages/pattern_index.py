"""The pattern index: maps patterns to values, and finds the values of all patterns that match a topic. Not thread-safe.

A pattern with at most one star is found in dictionaries, by its prefix and suffix. One with several stars is compared
only if its prefix and suffix fit, and the topic contains the first characters of the longest literal between its stars.
So the cost of a lookup depends on the topic's length and on the patterns that match or nearly match.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, Self, TypeVar

__all__ = ["PatternIndex", "compared_among"]

V = TypeVar("V", bound=Hashable)
T = TypeVar("T")

_KEY_CHARS: Final = 4
"""Literals between stars are indexed by this many characters, so that few substring lengths are looked up."""
_LOOKS_A_COMPARISON: Final = 8
"""This many substring lookups take about as long as one comparison."""


def compared_among(patterns: Iterable[str]) -> set[str]:
    """The `patterns` that a lookup may have to compare character by character: those with two stars or more."""
    return {pattern for pattern in patterns if "*" in pattern and pattern.count("*") > 1}


class PatternIndex(Generic[V]):
    """A mapping of checked patterns; no value is None.

    Attributes:
        compared: the number of character-by-character comparisons of all lookups so far; eight substring lookups count
            as one.
    """

    __slots__ = ("_beginnings", "_topics", "compared")

    def __init__(self) -> None:
        self._topics: dict[str, V] = {}
        self._beginnings: _Literals[_Beginning[V]] = _Literals()
        self.compared: int = 0

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, V]]) -> Self:
        """An index of these patterns and values; the last value of a repeated pattern wins."""
        index = cls()
        for pattern, value in pairs:
            index.put(pattern, value)
        return index

    def get(self, pattern: str) -> V | None:
        """The value of exactly this pattern, or None."""
        if "*" not in pattern:
            return self._topics.get(pattern)
        first, *inner, last = pattern.split("*")
        beginning = self._beginnings.by_text.get(first)
        return None if beginning is None else beginning.get(tuple(inner), last)

    def put(self, pattern: str, value: V) -> None:
        """Set the value of `pattern`."""
        if "*" not in pattern:
            self._topics[pattern] = value
            return
        first, *inner, last = pattern.split("*")
        self._beginnings.at(first, _Beginning).put(tuple(inner), last, value)

    def remove(self, pattern: str) -> None:
        """Remove `pattern`, which has to be present."""
        if "*" not in pattern:
            del self._topics[pattern]
            return
        first, *inner, last = pattern.split("*")
        beginning = self._beginnings.by_text[first]
        beginning.remove(tuple(inner), last)
        if not beginning:
            self._beginnings.remove(first)

    def matching(self, topic: str) -> list[V]:
        """The values of all patterns that match `topic` or, if it is a pattern itself, contain it."""
        found: list[V] = []
        value = self._topics.get(topic)
        if value is not None:
            found.append(value)
        beginnings = self._beginnings
        size = len(topic)
        self.compared += len(beginnings.lengths) // _LOOKS_A_COMPARISON
        for length in beginnings.lengths:
            if length >= size:
                continue
            beginning = beginnings.by_text.get(topic[:length])
            if beginning is not None:
                if beginning.open is not None:
                    found.append(beginning.open)
                if beginning.endings is not None:
                    self.compared += _collect(beginning.endings, topic, length, found)
        return found

    def __bool__(self) -> bool:
        return bool(self._topics or self._beginnings.by_text)

    def __repr__(self) -> str:
        return f"<PatternIndex of {len(self._topics)} topics and {len(self._beginnings.by_text)} prefixes>"


class _Literals(Generic[T]):
    """A mapping of literals to values, searched by the substrings of a topic that have their lengths."""

    __slots__ = ("by_text", "lengths")

    def __init__(self) -> None:
        self.by_text: dict[str, T] = {}
        self.lengths: dict[int, int] = {}
        """Length → number of texts that have it."""

    def at(self, text: str, make: Callable[[], T]) -> T:
        """The value of `text`, made by `make` if there is none."""
        value = self.by_text.get(text)
        if value is None:
            value = self.by_text[text] = make()
            self.lengths[len(text)] = self.lengths.get(len(text), 0) + 1
        return value

    def remove(self, text: str) -> None:
        del self.by_text[text]
        self.lengths[len(text)] -= 1
        if not self.lengths[len(text)]:
            del self.lengths[len(text)]

    def within(self, part: str) -> tuple[list[T], int]:
        """The values of all texts that `part` contains, and the number of substring lookups."""
        parts = len(self.lengths) * len(part)
        if len(self.by_text) <= parts:
            return [value for text, value in self.by_text.items() if text in part], len(self.by_text)
        found: set[str] = set()
        for length in self.lengths:
            found |= {part[start : start + length] for start in range(len(part) - length + 1)} & self.by_text.keys()
        return [self.by_text[text] for text in found], parts

    def __repr__(self) -> str:
        return f"{len(self.by_text)} literals"


class _Beginning(Generic[V]):
    """Patterns with the same prefix, the text before their first star.

    Attributes:
        open: the value of the pattern that ends with that star.
        endings: the others, by their suffix, the text after their last star.
    """

    __slots__ = ("endings", "open")

    def __init__(self) -> None:
        self.open: V | None = None
        self.endings: _Literals[_Ending[V]] | None = None

    def get(self, inner: tuple[str, ...], last: str) -> V | None:
        if not inner and not last:
            return self.open
        ending = None if self.endings is None else self.endings.by_text.get(last)
        return None if ending is None else ending.get(inner)

    def put(self, inner: tuple[str, ...], last: str, value: V) -> None:
        if not inner and not last:
            self.open = value
            return
        if self.endings is None:
            self.endings = _Literals()
        self.endings.at(last, _Ending).put(inner, value)

    def remove(self, inner: tuple[str, ...], last: str) -> None:
        if not inner and not last:
            self.open = None
            return
        assert self.endings is not None  # it is present
        ending = self.endings.by_text[last]
        ending.remove(inner)
        if not ending:
            self.endings.remove(last)
            if not self.endings.by_text:
                self.endings = None

    def __bool__(self) -> bool:
        return self.open is not None or self.endings is not None


class _Ending(Generic[V]):
    """Patterns with the same prefix and suffix.

    Attributes:
        plain: the value of the pattern with a single star.
        compared: the others, by the first characters of the longest literal between their stars, as inner literals →
            value.
    """

    __slots__ = ("compared", "plain")

    def __init__(self) -> None:
        self.plain: V | None = None
        self.compared: _Literals[dict[tuple[str, ...], V]] | None = None

    def get(self, inner: tuple[str, ...]) -> V | None:
        if not inner:
            return self.plain
        found = None if self.compared is None else self.compared.by_text.get(_key(inner))
        return None if found is None else found.get(inner)

    def put(self, inner: tuple[str, ...], value: V) -> None:
        if not inner:
            self.plain = value
            return
        if self.compared is None:
            self.compared = _Literals()
        self.compared.at(_key(inner), dict)[inner] = value

    def remove(self, inner: tuple[str, ...]) -> None:
        if not inner:
            self.plain = None
            return
        assert self.compared is not None  # it is present
        key = _key(inner)
        found = self.compared.by_text[key]
        del found[inner]
        if not found:
            self.compared.remove(key)
            if not self.compared.by_text:
                self.compared = None

    def __bool__(self) -> bool:
        return self.plain is not None or self.compared is not None


def _key(inner: tuple[str, ...]) -> str:
    return max(inner, key=len)[:_KEY_CHARS]


def _collect(endings: _Literals[_Ending[V]], topic: str, start: int, found: list[V]) -> int:
    """Add the values of the patterns that match `topic` from `start` on to `found`; return the comparisons made."""
    compared = len(endings.lengths) // _LOOKS_A_COMPARISON
    size = len(topic)
    for length in endings.lengths:
        stop = size - length
        if stop <= start:
            continue
        ending = endings.by_text.get(topic[stop:])
        if ending is None:
            continue
        if ending.plain is not None:
            found.append(ending.plain)
        if ending.compared is not None:
            groups, looks = ending.compared.within(topic[start + 1 : stop - 1])
            compared += looks // _LOOKS_A_COMPARISON
            for patterns in groups:
                compared += len(patterns)
                found += [value for inner, value in patterns.items() if _fits(inner, topic, start, stop)]
    return compared


def _fits(inner: tuple[str, ...], topic: str, start: int, stop: int) -> bool:
    """Whether the literals occur in order, each after one character or more, with one or more left before `stop`.

    Leftmost placement is enough: each star only requires one character or more before the next literal.
    """
    for literal in inner:
        found = topic.find(literal, start + 1, stop - 1)
        if found < 0:
            return False
        start = found + len(literal)
    return True
