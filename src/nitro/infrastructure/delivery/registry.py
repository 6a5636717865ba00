"""The registry: the feeds of one lane, found by interest and by route.

Fed by the lane with messages and with outboxes that come, change and go; feeds the turns with what closed a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

from nitro.domain.message import Message, Position
from nitro.infrastructure.delivery.feed import Feed
from nitro.infrastructure.delivery.frame import Frame
from nitro.infrastructure.delivery.interest import Interest
from nitro.infrastructure.delivery.outbox import Outbox
from nitro.infrastructure.delivery.router import Router
from nitro.infrastructure.delivery.turns import Turns

__all__ = ["FeedRegistry"]


class FeedRegistry:
    """Belongs to one lane. A feed lives as long as somebody shares its interest."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._router: Router[Feed] = Router()
        self._feeds: dict[Interest, Feed] = {}
        self._open: dict[Feed, None] = {}
        self._tick = 0

    def begin_tick(self) -> None:
        """What comes from here on is no client's arrears before the next tick."""
        self._tick += 1

    def enter(self, outbox: Outbox, interest: Interest, position: Position) -> None:
        """Let `outbox` follow the feed of `interest`, from what comes next behind `position`."""
        feed = self._feeds.get(interest)
        if feed is None:
            feed = self._feeds[interest] = Feed(interest, position)
            self._router.add(feed)
        self.close(feed)
        self.close(outbox.feed)
        outbox.follow(feed)
        feed.add(outbox)
        feed.owes_id |= outbox.starts_at != position

    def leave(self, feed: Feed | None, outbox: Outbox) -> None:
        """Take `outbox` out of `feed`; the last one takes the feed along."""
        if feed is None:
            return
        feed.remove(outbox)
        if not feed:
            self._router.remove(feed)
            del self._feeds[feed.interest]
            self._open.pop(feed, None)
            self._turns.drop_feed(feed)

    def append(self, message: Message) -> None:
        """Put `message` into the open batch of each feed that hears it, framed once for all."""
        frame: Frame | None = None
        for feed in self._router.route(message):
            if frame is None:
                frame = Frame(message)
            self._open[feed] = None
            if feed.append(frame):
                self.close(feed)

    def append_to(self, feed: Feed, frame: Frame) -> None:
        """Put `frame` into `feed`, and close."""
        if feed:
            feed.append(frame)
            self.close(feed)

    def behind(self) -> list[Outbox]:
        """Those for which more came while they were busy; from any thread."""
        return [outbox for feed in self for outbox in feed.aside()]

    def __iter__(self) -> Iterator[Feed]:
        return iter(tuple(self._feeds.values()))

    def close(self, feed: Feed | None) -> None:
        """End the open batch of `feed`: its outboxes are told when their turn comes."""
        if feed is not None and feed.close(self._tick):
            self._turns.add_feed(feed)

    def close_all(self) -> None:
        """End every open batch."""
        if self._open:
            for feed in self._open:
                self.close(feed)
            self._open = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def __repr__(self) -> str:
        return f"<FeedRegistry of {len(self._feeds)} feeds by {self._router!r}>"
