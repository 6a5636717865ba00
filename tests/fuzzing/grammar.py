"""The grammar of topics and what patterns match, said once more and in another way: as regular expressions."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache

_SEGMENTS = r"[A-Za-z0-9_:{0}-]+(\.[A-Za-z0-9_:{0}-]+)*"
_TOPIC = re.compile(_SEGMENTS.format(""))
_PATTERN = re.compile(_SEGMENTS.format("*"))
_FEW_STARS = 3
_LETTERS = "cdefghijklmnopqrstuvwxyzabABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:"
_FILLINGS = ("a", "x.y", "-", "secret", "7.b.c")
"""What a star may stand for when topics are tried."""


def is_topic(text: str) -> bool:
    return text != "ANY" and _is_name(_TOPIC, text)


def is_pattern(text: str) -> bool:
    return _is_name(_PATTERN, text) and "**" not in text


def _is_name(grammar: re.Pattern[str], text: str) -> bool:
    reserved = text == "nitro" or text.startswith("nitro.")
    return len(text) <= 255 and grammar.fullmatch(text) is not None and not reserved


def matches(pattern: str, topic: str) -> bool:
    """Whether `pattern`, with `.+` for each star, matches `topic` from end to end."""
    found = _simulate(pattern, topic)
    if pattern.count("*") <= _FEW_STARS:  # with more of them, `re` backtracks for seconds
        expression = re.escape(pattern).replace(r"\*", ".+")
        assert found == (re.fullmatch(expression, topic, re.DOTALL) is not None), "the judges disagree"
    return found


def _simulate(pattern: str, topic: str) -> bool:
    """The automaton of that regular expression: bit n is set if the first n characters of the pattern are matched."""
    stars = sum(1 << place for place, char in enumerate(pattern) if char == "*")
    states = 1
    for char in topic:
        states = _step(pattern, stars, states, char)
    return bool(states >> len(pattern) & 1)


def _step(pattern: str, stars: int, states: int, char: str) -> int:
    literals = sum(1 << place for place, each in enumerate(pattern) if each == char != "*")
    return (states & (literals | stars)) << 1 | states & stars


def topics_of(pattern: str) -> Iterator[str]:
    """Some topics that `pattern` matches, each of which an application could emit."""
    for filling in _FILLINGS:
        topic = pattern.replace("*", filling)
        if is_topic(topic):
            yield topic


def outside(pattern: str, others: Sequence[str]) -> str | None:
    """A shortest topic that `pattern` matches and none of the others does; None if there is none, of whatever length.

    The automata of all of them read every topic that there is at once, for as long as they get into states in which
    they were not together before. Letters that no pattern has are all alike, so one of them is enough.
    """
    return _outside(pattern, tuple(sorted(others)))


@lru_cache(maxsize=4096)
def _outside(pattern: str, others: tuple[str, ...]) -> str | None:
    patterns = (pattern, *others)
    stars = [sum(1 << place for place, char in enumerate(each) if char == "*") for each in patterns]
    known = set("".join(patterns)) - {"*", "."}
    letters = [*sorted(known), next(each for each in _LETTERS if each not in known)]
    seen = {((1,) * len(patterns), "")}
    waiting = deque((state, last, "") for state, last in seen)
    while waiting:
        state, last, topic = waiting.popleft()
        is_in = [bool(states >> len(each) & 1) for each, states in zip(patterns, state, strict=True)]
        if last not in ("", ".") and is_in[0] and not any(is_in[1:]):
            return topic
        for char in letters if last in ("", ".") else [*letters, "."]:
            after = tuple(map(_step, patterns, stars, state, itertools.repeat(char)))
            kind = "." if char == "." else "a"
            if after[0] and (after, kind) not in seen:
                seen.add((after, kind))
                waiting.append((after, kind, topic + char))
    return None
