"""Topics and patterns out of any text."""

from __future__ import annotations

import time
from collections.abc import Callable
from string import ascii_letters, digits
from typing import TypeVar

from nitro.errors import InvalidTopic
from nitro.messages.topics import check_pattern, check_topic, matches
from tests.containment import contains
from tests.fuzzing import grammar
from tests.fuzzing.supply import Supply, text

T = TypeVar("T")

_LONGEST_SECONDS = 0.02
_TRIES = 4
_FEW = b"ab*.*a"


def topics(data: bytes) -> None:
    """A grant, a pattern and a topic; where the first byte is odd, of few letters, so that they have much in common."""
    supply = Supply(data)
    is_narrow = supply.byte() & 1
    names = [_of_few_letters(name) if is_narrow else text(name) for name in supply.texts(3)]
    for name in names:
        assert _accepted(check_topic, name) == (name if grammar.is_topic(name) else None)
        pattern = "*" if name == "ANY" else name
        assert _accepted(check_pattern, name) == (pattern if grammar.is_pattern(name) else None)
    grant, pattern, topic = names
    if grammar.is_pattern(pattern) and grammar.is_topic(topic):
        assert _in_time(matches, pattern, topic) == grammar.matches(pattern, topic)
    if grammar.is_pattern(grant) and grammar.is_pattern(pattern):
        _check_containment(grant, pattern, topic)


def _check_containment(grant: str, pattern: str, topic: str) -> None:
    is_contained = _in_time(contains, grant, pattern)
    if is_contained and grammar.is_topic(topic) and matches(pattern, topic):
        assert matches(grant, topic), "what the pattern matches is outside of the grant"
    if is_contained:
        for tried in grammar.topics_of(pattern):
            assert matches(grant, tried), "what the pattern matches is outside of the grant"
    # A letter that the grant doesn't have stands for a star at its hardest.
    foreign = next((letter for letter in ascii_letters + digits if letter not in grant), None)
    if foreign is not None:
        assert is_contained == grammar.matches(grant, pattern.replace("*", foreign)), "refused without a reason"


def _accepted(check: Callable[[str], str], name: str) -> str | None:
    try:
        return _in_time(check, name)
    except InvalidTopic as error:
        refusal = str(error)
    assert refusal.isascii()
    return None


def _in_time(call: Callable[..., T], *arguments: str) -> T:
    """What it returns or raises. It has some tries to do so in time, since others compute meanwhile."""
    for _ in range(_TRIES):
        began = time.thread_time()
        error = None
        try:
            result = call(*arguments)
        except InvalidTopic as refusal:
            error = refusal
        if time.thread_time() - began < _LONGEST_SECONDS:
            if error is not None:
                raise error
            return result
    raise AssertionError(f"{call.__name__} takes more than {_LONGEST_SECONDS} s")


def _of_few_letters(name: bytes) -> str:
    return "".join(chr(_FEW[each % len(_FEW)]) for each in name)
