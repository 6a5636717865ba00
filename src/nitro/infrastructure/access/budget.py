"""The budget of topics: how many the requests to one process ask for, in all, of one user and from one address.

Each costs memory for as long as its client is connected, and patterns with several stars cost time for each event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from nitro.domain.pattern_index import is_compared
from nitro.settings import Settings

__all__ = ["TopicBudget"]

_WILDCARD_COUNTS: Final = 50
"""A pattern with two stars or more is so many topics in what a user or an address may ask for."""


class TopicBudget:
    """Belongs to the admission, under whose lock it is used."""

    def __init__(self, settings: Settings) -> None:
        self._max_topics = settings.max_topics
        self._max_wildcards = settings.max_wildcards
        self._max_of_user = settings.max_topics_per_user
        self._max_of_address = settings.max_topics_per_address
        self._topics = 0
        self._topics_of_nobody = 0
        self._wildcards: Counter[str] = Counter()  # the different ones, since the same costs time once
        self._wildcards_of_nobody: Counter[str] = Counter()
        self._of_user: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()

    def limit_reached(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> str | None:
        """The setting that forbids to ask for so much more; None if none does."""
        if not asked:
            return None
        weight = _weight(asked)
        wildcards = {pattern for pattern in asked if is_compared(pattern)}
        new = wildcards - self._wildcards.keys()
        if user_id is None:
            new_of_nobody = wildcards - self._wildcards_of_nobody.keys()
            if _is_over_half(self._topics_of_nobody + len(asked), self._max_topics):
                return "max_topics"
            if new_of_nobody and _is_over_half(
                len(self._wildcards_of_nobody) + len(new_of_nobody), self._max_wildcards
            ):
                return "max_wildcards"
        for count, limit, setting in (
            (self._of_user[user_id] + weight if user_id is not None else 0, self._max_of_user, "max_topics_per_user"),
            (self._of_address[address] + weight if address else 0, self._max_of_address, "max_topics_per_address"),
            (self._topics + len(asked), self._max_topics, "max_topics"),
            (len(self._wildcards) + len(new) if new else 0, self._max_wildcards, "max_wildcards"),
        ):
            if limit is not None and count > limit:
                return setting
        return None

    def take(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """A client that asked for these is connected from now on."""
        self._change(user_id, address, asked, 1)

    def give_back(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """It is no more."""
        self._change(user_id, address, asked, -1)

    def _change(self, user_id: str | None, address: str | None, asked: Sequence[str], sign: int) -> None:
        if not asked:
            return
        self._topics += sign * len(asked)
        if user_id is None:
            self._topics_of_nobody += sign * len(asked)
        weight = sign * _weight(asked)
        _add(self._of_user, user_id, weight)
        _add(self._of_address, address, weight)
        for pattern in asked:
            if is_compared(pattern):
                _add(self._wildcards, pattern, sign)
                if user_id is None:
                    _add(self._wildcards_of_nobody, pattern, sign)

    def __repr__(self) -> str:
        return f"<TopicBudget: {self._topics} topics, of {len(self._of_user)} users>"


def _is_over_half(count: int, limit: int | None) -> bool:
    """All requests without a user have half of what there is, so that they leave the other half to users."""
    return limit is not None and count > max(limit // 2, 1)


def _weight(asked: Sequence[str]) -> int:
    return len(asked) + (_WILDCARD_COUNTS - 1) * sum(map(is_compared, asked))


def _add(counts: Counter[str], key: str | None, number: int) -> None:
    if key is not None:
        counts[key] += number
        if not counts[key]:
            del counts[key]
