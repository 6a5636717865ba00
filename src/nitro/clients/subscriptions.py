"""Subscriptions: converts the topics, senders and mutes of a client to its interest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nitro.access.permissions import SenderKeys
from nitro.clients.grant import Written
from nitro.clients.patterns import Patterns, Senders, Topics, checked, listed, sender_keys, united
from nitro.clients.requested import Requested
from nitro.clients.rights import Rights
from nitro.delivery.interest import Interest
from nitro.errors import AccessDenied, InvalidTopic, TooManyTopics
from nitro.events.sender import ANY, AnyType, is_any
from nitro.messages.topics import PRESENCE_OF, check_pattern

__all__ = ["Subscriptions"]


class Subscriptions:
    """The mutable subscriptions and mutes of a client, frozen as an `Interest` for the delivery.

    Args:
        topics, muted_topics: the arguments of the client. With restricted rights `ANY` stands for all that is allowed.
        rights: checked for each subscription; owned by this object from now on.

    Attributes:
        topics: pattern → keys of its senders, or `ANY`; as in `client.topics`.
        mutes: the muted patterns.
    """

    def __init__(self, topics: Topics, muted_topics: Patterns, rights: Rights, max_topics: int) -> None:
        self._rights = rights
        self._max_topics = max_topics
        self._senders: dict[str, SenderKeys] = {}
        self._mutes: dict[str, None] = {}
        self._wants_all = rights.allowed is not None and _is_everything(topics)
        if self._wants_all:
            self._follow_rights()
        elif isinstance(topics, Mapping):
            for topic, senders in topics.items():
                self.add(topic, senders)
        elif isinstance(topics, Requested):
            self._ask_for(topics)
        else:
            for pattern in listed(topics, "topics"):
                self.add(pattern, ANY)
        if not is_any(muted_topics):
            for pattern in listed(muted_topics, "muted_topics"):
                self.mute(pattern)

    def _ask_for(self, patterns: Requested) -> None:
        """As `add` for each of these patterns, whose grammar was checked when they were parsed."""
        for count, pattern in enumerate(patterns):
            _check_room(pattern)
            if not self._rights.cover(pattern, None):
                raise _denied(pattern)
            if count >= self._max_topics:
                raise self._too_many()
        self._senders = dict.fromkeys(patterns)

    def add(self, topic: str | AnyType, senders: Senders) -> None:
        """Subscribe to a pattern; for an existing one, add the senders."""
        pattern, keys = checked(topic), sender_keys(senders)
        _check_room(pattern)
        if not self._rights.cover(pattern, keys):
            raise _denied(pattern)
        self._hear(pattern, keys)

    def remove(self, topic: str | AnyType) -> None:
        """Remove the subscription to exactly this pattern, if there is one."""
        self._senders.pop(checked(topic), None)

    def mute(self, topic: str | AnyType) -> None:
        """Mute what this pattern matches."""
        if isinstance(topic, AnyType) or is_any(topic):
            raise InvalidTopic("ANY mutes nothing; write '*' to mute every topic")
        topic = check_pattern(topic)
        if topic not in self._mutes:
            self._make_room()
        self._mutes[topic] = None

    def unmute(self, topic: str) -> None:
        """Remove the mute of exactly this pattern, if there is one."""
        self._mutes.pop(check_pattern(topic), None)

    def grant(self, topic: str | AnyType, senders: Senders) -> None:
        """Allow a pattern; a client with `ANY` is subscribed to it, too."""
        pattern = checked(topic)
        if self._wants_all and pattern not in self._senders:
            self._make_room()  # raises before anything is changed
        self._rights.grant(pattern, senders)
        if self._wants_all:
            self._follow_rights()

    def revoke(self, topic: str | AnyType) -> None:
        """Deny a pattern, whatever is allowed or subscribed, until it is granted again."""
        self._rights.revoke(topic)

    def may_hear_all_of(self, topic: str) -> bool:
        """Whether all messages with this topic are allowed, whoever their sender is."""
        return self._rights.have_all_of(topic)

    def _follow_rights(self) -> None:
        for pattern, keys in (self._rights.allowed or {}).items():
            self._hear(pattern, keys)

    def _hear(self, pattern: str, keys: SenderKeys) -> None:
        if pattern not in self._senders:
            self._make_room()
        self._senders[pattern] = united(self._senders, pattern, keys)

    @property
    def topics(self) -> Written:
        return {topic: ANY if keys is None else sorted(keys) for topic, keys in self._senders.items()}

    @property
    def mutes(self) -> list[str]:
        return list(self._mutes)

    @property
    def interest(self) -> Interest:
        return Interest.of(self._senders, self._mutes.keys(), self._rights.permissions)

    def _make_room(self) -> None:
        if len(self._senders) + len(self._mutes) >= self._max_topics:
            raise self._too_many()

    def _too_many(self) -> TooManyTopics:
        return TooManyTopics(
            f"a client may have {self._max_topics} topics and mutes; use a pattern such as 'todo.*', "
            f"or raise NITRO_MAX_TOPICS_PER_CLIENT"
        )


def _check_room(pattern: str) -> None:
    """Raises InvalidTopic if it is a pattern of rooms: their members would come without end."""
    if pattern.startswith(PRESENCE_OF) and "*" in pattern:
        raise InvalidTopic(f"who is in a room is heard by the room's exact name, and {pattern!a:.60} is a pattern")


def _denied(pattern: str) -> AccessDenied:
    return AccessDenied(f"the topic or pattern {pattern!r} is not allowed for this client")


def _is_everything(topics: Any) -> bool:
    if isinstance(topics, list | tuple) and len(topics) == 1:
        topics = topics[0]
    return is_any(topics)
