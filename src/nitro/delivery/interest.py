"""Interest: everything that decides what a client hears. Frozen and hashable, so that clients can share it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Final

from nitro.access.permissions import Lookup, Permissions, SenderKeys, Subscribed, without_contained
from nitro.delivery.query import Query
from nitro.messages.message import Message
from nitro.messages.topics import PRESENCE_OF, is_reserved

__all__ = ["Interest", "Kind"]

Kind = tuple[str, str | None]
"""A message's topic and sender, which decide who hears it."""

_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class Interest:
    """The subscriptions, mutes and permissions of a client, or its live query.

    Attributes:
        subscriptions: pairs of a pattern and the senders that it hears.
        mutes: patterns that are never heard, whatever is subscribed.
        permissions: what it may hear, whatever is subscribed; None for everything.
        query: the live query whose rows it gets; None for a client that hears events.
        is_narrowed: whether mutes or permissions may exclude something that is subscribed.
        watched: the topics among them that tell who is in a room; a pattern with a star means no room.
    """

    subscriptions: Subscribed
    mutes: frozenset[str]
    permissions: Permissions | None = None
    query: Query | None = None
    is_narrowed: bool = field(init=False, repr=False, compare=False)
    watched: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)
    _answers: dict[Kind, bool] = field(init=False, repr=False, compare=False)
    _subscribed: Lookup | None = field(init=False, repr=False, compare=False)
    _muted: Lookup | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_narrowed", bool(self.mutes) or self.permissions is not None)
        object.__setattr__(self, "_hash", hash((self.subscriptions, self.mutes, self.permissions, self.query)))
        watched = [
            pattern for pattern, _ in self.subscriptions if pattern.startswith(PRESENCE_OF) and "*" not in pattern
        ]
        object.__setattr__(self, "watched", tuple(watched))
        object.__setattr__(self, "_answers", {})
        object.__setattr__(self, "_subscribed", None)  # made when first needed: most clients never resume
        muted = Lookup(frozenset((pattern, None) for pattern in self.mutes)) if self.mutes else None
        object.__setattr__(self, "_muted", muted)

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(
        cls, subscriptions: Mapping[str, SenderKeys], mutes: Set[str], permissions: Permissions | None = None
    ) -> Interest:
        """The interest of a client that holds these subscriptions, by pattern, and these mutes.

        Patterns that another one contains are left out: they cost time and add nothing.
        """
        return cls(frozenset(without_contained(subscriptions)), frozenset(mutes), permissions)

    def permits(self, message: Message) -> bool:
        """Whether the permissions of this interest include `message`; what a live query gives is always permitted."""
        if self.permissions is None or self.query is not None:
            return True
        return self.permissions.permits(message.topic, message.sender)

    def lets_through(self, kind: Kind) -> bool:
        """Whether messages of that kind are permitted and not muted. Answers are cached."""
        answer = self._answers.get(kind)
        return self._decide(*kind) if answer is None else answer

    def _decide(self, topic: str, sender: str | None) -> bool:
        is_permitted = self.permissions is None or self.permissions.permits(topic, sender)
        answer = is_permitted and (self._muted is None or not self._muted.senders(topic))
        if len(self._answers) >= _REMEMBERED:
            self._answers.clear()
        self._answers[topic, sender] = answer
        return answer

    def hears(self, message: Message) -> bool:
        """Whether a client with this interest gets `message`."""
        if self._subscribed is None:
            object.__setattr__(self, "_subscribed", Lookup(self.subscriptions))
        assert self._subscribed is not None
        return (
            not is_reserved(message.topic)
            and self._subscribed.has(message.topic, message.sender)
            and self.lets_through((message.topic, message.sender))
        )

    @property
    def compared(self) -> int:
        """How many patterns have been compared letter by letter so far, to filter replays."""
        lookups = (self._subscribed, self._muted, *(self.permissions.lookups if self.permissions else ()))
        return sum([lookup.compared for lookup in lookups if lookup is not None])
