"""From what an application writes as topics, senders and mutes to a client's interest. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nitro.domain.topics import EVERY_TOPIC, check_pattern
from nitro.errors import InvalidTopic, TooManyTopics, TopicTypeError
from nitro.infrastructure.delivery.interest import Interest, Senders
from nitro.infrastructure.events.sender import ANY, is_any, sender_key

__all__ = ["Subscriptions"]


class Subscriptions:
    """What one client wants to hear; changed by its owner, frozen into an `Interest` for the delivery.

    Attributes:
        topics: pattern → keys of its senders, or `ANY`; as `client.topics` shows them.
        mutes: the patterns that are never heard.
    """

    def __init__(self, topics: Any, muted_topics: Any, max_topics: int) -> None:
        self._max_topics = max_topics
        self._senders: dict[str, Senders] = {}
        self._mutes: dict[str, None] = {}
        if is_any(topics):
            topics = [EVERY_TOPIC]
        if isinstance(topics, Mapping):
            for topic, senders in topics.items():
                self.add(topic, senders)
        else:
            for topic in _listed(topics, "topics"):
                self.add(topic, ANY)
        if not is_any(muted_topics):
            for topic in _listed(muted_topics, "muted_topics"):
                self.mute(topic)

    def add(self, topic: Any, senders: Any) -> None:
        """Subscribe to a pattern; a pattern that is there already hears the new senders too."""
        topic = check_pattern(EVERY_TOPIC if topic is ANY else topic)
        keys = _sender_keys(senders)
        if topic in self._senders:
            held = self._senders[topic]
            keys = None if held is None or keys is None else held | keys
        else:
            self._make_room()
        self._senders[topic] = keys

    def remove(self, topic: Any) -> None:
        """Drop the subscription that was made with this very pattern; nothing happens if there is none."""
        self._senders.pop(check_pattern(EVERY_TOPIC if topic is ANY else topic), None)

    def mute(self, topic: Any) -> None:
        """Keep what this pattern matches away."""
        if is_any(topic):
            raise InvalidTopic("ANY mutes nothing; write '*' to mute every topic")
        topic = check_pattern(topic)
        if topic not in self._mutes:
            self._make_room()
        self._mutes[topic] = None

    def unmute(self, topic: str) -> None:
        """Drop the mute that was made with this very pattern; nothing happens if there is none."""
        self._mutes.pop(check_pattern(topic), None)

    @property
    def topics(self) -> dict[str, Any]:
        return {topic: ANY if keys is None else sorted(keys) for topic, keys in self._senders.items()}

    @property
    def mutes(self) -> list[str]:
        return list(self._mutes)

    @property
    def interest(self) -> Interest:
        return Interest.of(self._senders, self._mutes.keys())

    def _make_room(self) -> None:
        if len(self._senders) + len(self._mutes) >= self._max_topics:
            raise TooManyTopics(
                f"a client may have {self._max_topics} topics and mutes; use a pattern such as 'todo.*', "
                f"or raise NITRO_MAX_TOPICS_PER_CLIENT"
            )


def _listed(topics: Any, what: str) -> Iterable[Any]:
    if isinstance(topics, str):
        return [topics]
    if isinstance(topics, bytes) or not isinstance(topics, Iterable):
        raise TopicTypeError(
            f"{what} is a string, a list of strings or ANY{', or a dict' if what == 'topics' else ''}, "
            f"not {type(topics).__name__}"
        )
    return topics


def _sender_keys(senders: Any) -> Senders:
    if is_any(senders):
        return None
    if isinstance(senders, str) or not isinstance(senders, Iterable) or hasattr(senders, "id"):
        senders = [senders]
    senders = list(senders)
    if any(is_any(sender) for sender in senders):
        return None
    keys = set()
    for sender in senders:
        key = sender_key(sender)
        if key is None:
            raise TopicTypeError("a sender is None, or an object without an id yet; write ANY to hear all senders")
        keys.add(key)
    return frozenset(keys)
