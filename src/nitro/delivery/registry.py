"""The registry: the feeds of one lane, by interest and by route.

Fed by the lane with messages and with outboxes that come, change and go; gives the schedule the feeds that closed a
batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nitro.delivery.chain import Chain
from nitro.delivery.feed import Feed
from nitro.delivery.frame import Frame
from nitro.delivery.interest import Interest
from nitro.delivery.outbox import Outbox
from nitro.delivery.query_index import QueryIndex
from nitro.delivery.router import Router
from nitro.delivery.schedule import Schedule
from nitro.messages.message import Message, Position

__all__ = ["FeedRegistry"]


class FeedRegistry:
    """Belongs to one lane. A feed lives as long as it has clients.

    Attributes:
        position: position of the newest message that was routed here.
        queries: the feeds of live queries, which the router doesn't know.
    """

    def __init__(self, schedule: Schedule, position: Position) -> None:
        self.position: Position = position
        self._schedule = schedule
        self.queries: QueryIndex[Feed] = QueryIndex()
        self._router: Router[Feed] = Router()
        self._watching: dict[str, dict[Feed, None]] = {}
        self._feeds: dict[Interest, Feed] = {}
        self._open: dict[Feed, None] = {}
        self._tick = 0

    def begin_tick(self) -> None:
        """Begin a tick: messages from here on don't count in limits before the next one."""
        self._tick += 1

    def enter(self, outbox: Outbox, interest: Interest) -> None:
        """Let `outbox` follow the feed of `interest` from the next message on, and no other feed."""
        before = outbox.chain
        if before is not None and before.interest == interest:
            return
        feed = self._feeds.get(interest)
        if feed is None:
            feed = self._feeds[interest] = Feed(interest, self.position)
            if interest.query is None:
                self._router.add(feed)
                for topic in interest.watched:
                    self._watching.setdefault(topic, {})[feed] = None
            else:
                self.queries.add(interest.query, feed)
        self.close(feed)
        self.close(before)
        outbox.follow(feed)
        self.leave(outbox, before)
        feed.add(outbox)
        feed.owes_id |= outbox.starts_at != self.position

    def leave(self, outbox: Outbox, chain: Chain | None) -> None:
        """Remove `outbox` from its feed, and the feed if that was its last client."""
        if chain is None:
            return
        assert isinstance(chain, Feed)
        chain.remove(outbox)
        if not chain:
            if chain.interest.query is None:
                self._router.remove(chain)
                for topic in chain.interest.watched:
                    self._forget_watching(topic, chain)
            else:
                self.queries.remove(chain.interest.query, chain)
            del self._feeds[chain.interest]
            self._open.pop(chain, None)
            self._schedule.drop_feed(chain)

    def append(self, message: Message) -> None:
        """Append `message` to the open batch of each feed that hears it; it is framed once."""
        frame: Frame | None = None
        for feed in self._router.route(message):
            if frame is None:
                frame = Frame(message)
            self._open[feed] = None
            if feed.append(frame):
                self.close(feed)
        self.position = message.position or self.position

    def watching(self, topic: str) -> list[Feed]:
        """The feeds that watch a room, by its topic, and may."""
        return [feed for feed in self._watching.get(topic, ()) if feed.interest.lets_through((topic, None))]

    @property
    def watched(self) -> tuple[str, ...]:
        """The topics of all rooms that are watched."""
        return tuple(self._watching)

    def _forget_watching(self, topic: str, feed: Feed) -> None:
        feeds = self._watching[topic]
        del feeds[feed]
        if not feeds:
            del self._watching[topic]

    def append_rows(self, feeds: Iterable[Feed], message: Message) -> None:
        """Append what a live query or a room gives to the open batch of its feeds."""
        frame = Frame(message)
        for feed in feeds:
            self._open[feed] = None
            if feed.append(frame):
                self.close(feed)

    def append_to(self, feed: Feed, frame: Frame) -> None:
        """Append `frame` to `feed`, and close the batch."""
        if feed:
            feed.append(frame)
            self.close(feed)

    def behind(self) -> list[Outbox]:
        """Outboxes that got more while they were busy; from any thread."""
        return [outbox for feed in self for outbox in feed.parked()]

    def __iter__(self) -> Iterator[Feed]:
        return iter(tuple(self._feeds.values()))

    def close(self, chain: Chain | None) -> None:
        """Close the open batch of a feed; its outboxes are notified in their turn."""
        if chain is not None and chain.close(self._tick):
            assert isinstance(chain, Feed)
            self._schedule.add_feed(chain)

    def close_all(self) -> None:
        """Close every open batch."""
        if self._open:
            for feed in self._open:
                self.close(feed)
            self._open = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def __repr__(self) -> str:
        return f"<FeedRegistry of {len(self._feeds)} feeds by {self._router!r}>"
