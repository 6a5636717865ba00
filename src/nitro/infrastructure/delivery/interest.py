"""Interest: everything that decides what a client hears. Frozen and hashable, so that clients can share it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from nitro.domain.message import Message
from nitro.domain.topics import matches

__all__ = ["Interest"]

Senders = frozenset[str] | None
"""Keys of the senders that a subscription hears, or None for all of them."""


@dataclass(frozen=True, slots=True)
class Interest:
    """Subscriptions and mutes of a client.

    Attributes:
        subscriptions: pairs of a pattern and the senders that it hears.
        mutes: patterns that are never heard, whatever is subscribed.
    """

    subscriptions: frozenset[tuple[str, Senders]]
    mutes: frozenset[str]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.subscriptions, self.mutes)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(cls, subscriptions: Mapping[str, Senders], mutes: Set[str]) -> Interest:
        """The interest of a client that holds these subscriptions, by pattern, and these mutes."""
        return cls(frozenset(subscriptions.items()), frozenset(mutes))

    def mutes_topic(self, topic: str) -> bool:
        """Whether a mute keeps `topic` away."""
        return any(matches(pattern, topic) for pattern in self.mutes)

    def hears(self, message: Message) -> bool:
        """Whether a client with this interest gets `message`."""
        return not self.mutes_topic(message.topic) and any(
            matches(pattern, message.topic) and (senders is None or message.sender in senders)
            for pattern, senders in self.subscriptions
        )
