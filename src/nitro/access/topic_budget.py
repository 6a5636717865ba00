"""Topic budget: limits on the topics that requests ask for, in all, per user and per address.

Each topic costs memory while its client is connected, and each pattern with several stars costs time for each event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from nitro.messages.pattern_index import compared_among
from nitro.settings import Settings

__all__ = ["TopicBudget", "count"]

_WILDCARD_COUNTS: Final = 50
"""Weight of a pattern with two stars or more in the limits per user and per address, in topics."""


class TopicBudget:
    """The topics of all connected clients. The admission holds the lock."""

    def __init__(self, settings: Settings) -> None:
        self._max_of_user = settings.max_topics_per_user
        self._max_of_address = settings.max_topics_per_address
        self._of_user: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._of_all = _Asked(settings.max_topics, settings.max_wildcards)
        self._without_user = _Asked(_half(settings.max_topics), _half(settings.max_wildcards))

    def limit_reached(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> str | None:
        """The setting whose limit these topics would exceed; None if none."""
        if not asked:
            return None
        wildcards = compared_among(asked)
        weight = _weight(asked, wildcards)
        for counts, key, limit, setting in (
            (self._of_user, user_id, self._max_of_user, "max_topics_per_user"),
            (self._of_address, address, self._max_of_address, "max_topics_per_address"),
        ):
            if key is not None and limit is not None and counts[key] + weight > limit:
                return setting
        reached = self._without_user.limit_reached(asked, wildcards) if user_id is None else None
        return reached or self._of_all.limit_reached(asked, wildcards)

    def take(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """Count the topics of a client that connects."""
        self._change(user_id, address, asked, 1)

    def give_back(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """Uncount the topics of a client that has left."""
        self._change(user_id, address, asked, -1)

    def _change(self, user_id: str | None, address: str | None, asked: Sequence[str], sign: int) -> None:
        if not asked:
            return
        wildcards = compared_among(asked)
        weight = _weight(asked, wildcards)
        count(self._of_user, user_id, sign * weight)
        count(self._of_address, address, sign * weight)
        self._of_all.change(asked, wildcards, sign)
        if user_id is None:
            self._without_user.change(asked, wildcards, sign)

    def __repr__(self) -> str:
        return f"<TopicBudget: {self._of_all.topics} topics, of {len(self._of_user)} users>"


class _Asked:
    """The topics that a group of requests asks for.

    Attributes:
        topics: how many in all.
        wildcards: the distinct patterns with two stars or more, each with its number of requests; each distinct one
            costs time once.
    """

    def __init__(self, max_topics: int | None, max_wildcards: int | None) -> None:
        self._max_topics = max_topics
        self._max_wildcards = max_wildcards
        self.topics = 0
        self.wildcards: Counter[str] = Counter()

    def limit_reached(self, asked: Sequence[str], wildcards: set[str]) -> str | None:
        if self._max_topics is not None and self.topics + len(asked) > self._max_topics:
            return "max_topics"
        new = wildcards - self.wildcards.keys()
        if new and self._max_wildcards is not None and len(self.wildcards) + len(new) > self._max_wildcards:
            return "max_wildcards"
        return None

    def change(self, asked: Sequence[str], wildcards: set[str], sign: int) -> None:
        self.topics += sign * len(asked)
        for pattern in wildcards:
            count(self.wildcards, pattern, sign)


def count(counts: Counter[str], key: str | None, number: int) -> None:
    """Add `number` to the count of `key`, and remove a count of zero; a key of None is not counted."""
    if key is not None:
        counts[key] += number
        if not counts[key]:
            del counts[key]


def _half(limit: int | None) -> int | None:
    """The limit for requests without a user: half, so that the other half is left to users."""
    return None if limit is None else max(limit // 2, 1)


def _weight(asked: Sequence[str], wildcards: set[str]) -> int:
    return len(asked) + (_WILDCARD_COUNTS - 1) * len(wildcards)
