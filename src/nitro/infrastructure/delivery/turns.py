"""Turns: which outboxes are to be told that something waits, and how far that has come.

Fed by the lane with feeds that closed a batch and with outboxes that got something of their own; the lane takes
from it until its time in the loop is up, and goes on there in its next turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from time import perf_counter
from typing import Final

from nitro.infrastructure.delivery.feed import Feed
from nitro.infrastructure.delivery.outbox import Outbox

__all__ = ["Turns", "is_through"]

_TURN_SECONDS: Final = 0.0005
"""After how long what goes over very many clients gives the loop back."""
_TELLS_A_PAGE: Final = 64
_LOOKS_AT_CLOCK_EVERY: Final = 16


class Turns:
    """Belongs to one lane. True while anybody is left to be told."""

    def __init__(self) -> None:
        self._feeds: OrderedDict[Feed, None] = OrderedDict()
        self._outboxes: OrderedDict[Outbox, None] = OrderedDict()
        self._replaying: OrderedDict[Outbox, None] = OrderedDict()

    def add_feed(self, feed: Feed) -> None:
        """All outboxes of `feed`, which closed a batch."""
        self._feeds[feed] = None

    def add_outbox(self, outbox: Outbox) -> None:
        """One outbox, whatever its feed has."""
        self._outboxes[outbox] = None

    def add_replaying(self, outbox: Outbox) -> None:
        """One outbox, for the next page of what it missed."""
        self._replaying[outbox] = None

    def drop_feed(self, feed: Feed) -> None:
        """Nobody is left in `feed`."""
        self._feeds.pop(feed, None)

    def drop_outbox(self, outbox: Outbox) -> None:
        """`outbox` has ended, or left."""
        self._outboxes.pop(outbox, None)
        self._replaying.pop(outbox, None)

    def due(self) -> Iterator[Outbox]:
        """The outboxes to tell. Where it was left, the next one goes on, with another feed's if there is one.

        A page of a replay takes as long as many clients of a feed, so they alternate: neither holds up the other.
        """
        while self:
            while self._outboxes:
                yield self._outboxes.popitem(last=False)[0]
            yield from islice(self._of_feeds(), _TELLS_A_PAGE)
            if self._replaying:
                yield self._replaying.popitem(last=False)[0]

    def _of_feeds(self) -> Iterator[Outbox]:
        while self._feeds:
            feed = next(iter(self._feeds))
            self._feeds.move_to_end(feed)
            if feed.turn is None:
                feed.is_dirty = False
                feed.turn = iter(feed.to_tell())
            yield from feed.turn
            feed.turn = None
            if not feed.is_dirty:
                self._feeds.pop(feed, None)

    def __bool__(self) -> bool:
        return bool(self._feeds or self._outboxes or self._replaying)


def is_through(steps: Iterator[object]) -> bool:
    """Take steps until there are no more, or until a turn's time in the loop is up. A step that took long is True."""
    deadline = perf_counter() + _TURN_SECONDS
    for count, was_long in enumerate(steps, 1):
        if (was_long or count % _LOOKS_AT_CLOCK_EVERY == 0) and perf_counter() > deadline:
            return False
    return True
