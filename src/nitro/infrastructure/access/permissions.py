"""Permissions: what a client may hear, whatever it asks for. Frozen and hashable, so that clients can share them.

Made from what the application grants a client; asked when it subscribes, and again for each message on its way to it,
live and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from nitro.domain.topics import contains, matches

__all__ = ["Permissions", "Senders"]

Senders = frozenset[str] | None
"""Keys of senders, or None for all of them."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What is allowed without being denied.

    Attributes:
        allowed: pairs of a pattern and the senders that it allows; None allows everything.
        denied: pairs of a pattern and the senders that it denies, whatever is allowed.
    """

    allowed: frozenset[tuple[str, Senders]] | None
    denied: frozenset[tuple[str, Senders]]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.allowed, self.denied)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(cls, allowed: Mapping[str, Senders] | None, denied: Mapping[str, Senders]) -> Self:
        """The permissions that these patterns, each with its senders, make up."""
        return cls(None if allowed is None else frozenset(allowed.items()), frozenset(denied.items()))

    def permits(self, topic: str, sender: str | None) -> bool:
        """Whether a message of that topic and sender may be heard."""
        is_allowed = self.allowed is None or _has(self.allowed, topic, sender)
        return is_allowed and not _has(self.denied, topic, sender)

    def cover(self, pattern: str, senders: Senders) -> bool:
        """Whether one may subscribe so: some of it may be heard, and all of it is allowed.

        A subscription without senders asks for those senders that are allowed; one that names some has to be allowed
        all of them.
        """
        if any(denied is None and contains(each, pattern) for each, denied in self.denied):
            return False
        if self.allowed is None:
            return True
        found = [granted for each, granted in self.allowed if contains(each, pattern)]
        return bool(found) and (
            senders is None or None in found or senders <= frozenset().union(*(some for some in found if some))
        )


def _has(patterns: frozenset[tuple[str, Senders]], topic: str, sender: str | None) -> bool:
    return any(matches(pattern, topic) and (senders is None or sender in senders) for pattern, senders in patterns)
