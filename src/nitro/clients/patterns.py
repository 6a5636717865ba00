"""Parses topics with their senders, as applications write them: one, a list, or a mapping. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, TypeAlias, cast

from nitro.access.permissions import SenderKeys
from nitro.errors import TopicTypeError
from nitro.events.sender import ANY, AnyType, sender_key
from nitro.messages.identity import Identity, is_identity
from nitro.messages.topics import EVERY_TOPIC, check_pattern

__all__ = ["Patterns", "Senders", "Topics", "checked", "listed", "patterns_of", "sender_keys", "united"]

Sender: TypeAlias = Identity | AnyType
Senders: TypeAlias = Sender | Sequence[Sender] | Set[Sender] | Iterator[Sender]
"""The senders to hear: an id or an object that has one, several of these, or `ANY` for all."""
Patterns: TypeAlias = str | AnyType | Sequence[str | AnyType] | Set[str | AnyType] | Iterator[str | AnyType]
"""A topic or pattern, several of these, or `ANY`. Not any iterable, since a mapping is one, too."""
Topics: TypeAlias = Patterns | Mapping[str, Senders]
"""The same, or a mapping of each to its senders."""


def patterns_of(topics: Topics, what: str) -> dict[str, SenderKeys]:
    """Pattern → keys of its senders, or None for all of them.

    Raises:
        InvalidTopic, TopicTypeError: `topics`, called `what` in the text, is invalid.
    """
    found: dict[str, SenderKeys] = {}
    pairs = topics.items() if isinstance(topics, Mapping) else ((topic, ANY) for topic in listed(topics, what))
    for topic, senders in pairs:
        pattern = checked(topic)
        found[pattern] = united(found, pattern, sender_keys(senders))
    return found


def checked(topic: str | AnyType) -> str:
    """`topic` as a checked pattern; `ANY` becomes `*`."""
    return check_pattern(EVERY_TOPIC if isinstance(topic, AnyType) else topic)


def listed(topics: Topics, what: str) -> Iterable[str | AnyType]:
    """The topics as an iterable; a string or `ANY` becomes a list of one."""
    if isinstance(topics, str) or topics is ANY:
        return [topics]
    if isinstance(topics, bytes) or not isinstance(topics, Iterable):
        raise TopicTypeError(
            f"{what} is a string, a list of strings or ANY{'' if what == 'muted_topics' else ', or a dict'}, "
            f"not {type(topics).__name__}"
        )
    return topics


def united(held: Mapping[str, SenderKeys], pattern: str, keys: SenderKeys) -> SenderKeys:
    """The union of the senders of `pattern` in `held` and `keys`."""
    if pattern not in held:
        return keys
    before = held[pattern]
    return None if before is None or keys is None else before | keys


def sender_keys(senders: Senders) -> SenderKeys:
    """The keys of one sender or several; None for `ANY`."""
    if senders is ANY:
        return None
    is_one = isinstance(senders, str) or not isinstance(senders, Iterable) or hasattr(senders, "id")
    named: list[Any] = [senders] if is_one else list(cast("Iterable[Any]", senders))
    if any(sender is ANY for sender in named):
        return None
    keys = set()
    for sender in named:
        key = sender_key(sender)
        if key is None:
            raise TopicTypeError("a sender is None, or an object without an id yet; write ANY to hear all senders")
        if not is_identity(sender):
            raise TopicTypeError(f"a sender is an id, or an object that has one, not {sender!a:.80}; ANY means all")
        keys.add(key)
    return frozenset(keys)
