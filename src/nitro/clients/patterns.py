"""Patterns with their senders, as an application writes them: one, a list, or a mapping. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nitro.access.permissions import Senders
from nitro.errors import TopicTypeError
from nitro.events.sender import ANY, sender_key
from nitro.messages.identity import is_identity
from nitro.messages.topics import EVERY_TOPIC, check_pattern

__all__ = ["checked", "listed", "patterns_of", "sender_keys", "united"]


def patterns_of(topics: Any, what: str) -> dict[str, Senders]:
    """Pattern → keys of its senders, or None for all of them.

    Raises:
        InvalidTopic, TopicTypeError: `topics` is nothing of the kind; `what` is its name.
    """
    found: dict[str, Senders] = {}
    pairs = topics.items() if isinstance(topics, Mapping) else ((topic, ANY) for topic in listed(topics, what))
    for topic, senders in pairs:
        pattern = checked(topic)
        found[pattern] = united(found, pattern, sender_keys(senders))
    return found


def checked(topic: Any) -> str:
    """The pattern that `topic` is; `ANY` is every topic."""
    return check_pattern(EVERY_TOPIC if topic is ANY else topic)


def listed(topics: Any, what: str) -> Iterable[Any]:
    """The topics one by one; a string is one topic, and `ANY` is every topic."""
    if isinstance(topics, str) or topics is ANY:
        return [topics]
    if isinstance(topics, bytes) or not isinstance(topics, Iterable):
        raise TopicTypeError(
            f"{what} is a string, a list of strings or ANY{'' if what == 'muted_topics' else ', or a dict'}, "
            f"not {type(topics).__name__}"
        )
    return topics


def united(held: Mapping[str, Senders], pattern: str, keys: Senders) -> Senders:
    """The senders of `pattern` in `held`, and `keys` too."""
    if pattern not in held:
        return keys
    before = held[pattern]
    return None if before is None or keys is None else before | keys


def sender_keys(senders: Any) -> Senders:
    """The keys of one sender, or of some; None for `ANY`."""
    if senders is ANY:
        return None
    if isinstance(senders, str) or not isinstance(senders, Iterable) or hasattr(senders, "id"):
        senders = [senders]
    senders = list(senders)
    if any(sender is ANY for sender in senders):
        return None
    keys = set()
    for sender in senders:
        key = sender_key(sender)
        if key is None:
            raise TopicTypeError("a sender is None, or an object without an id yet; write ANY to hear all senders")
        if not is_identity(sender):
            raise TopicTypeError(f"a sender is an id, or an object that has one, not {sender!a:.80}; ANY means all")
        keys.add(key)
    return frozenset(keys)
