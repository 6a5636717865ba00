"""The grammar of topics and what patterns match, said once more and in another way: as regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SEGMENTS = r"[A-Za-z0-9_:{0}-]+(\.[A-Za-z0-9_:{0}-]+)*"
_TOPIC = re.compile(_SEGMENTS.format(""))
_PATTERN = re.compile(_SEGMENTS.format("*"))
_FEW_STARS = 3
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
        literals = sum(1 << place for place, each in enumerate(pattern) if each == char != "*")
        states = (states & (literals | stars)) << 1 | states & stars
    return bool(states >> len(pattern) & 1)


def topics_of(pattern: str) -> Iterator[str]:
    """Some topics that `pattern` matches, each of which an application could emit."""
    for filling in _FILLINGS:
        topic = pattern.replace("*", filling)
        if is_topic(topic):
            yield topic
