"""Room views: what the clients of one loop get of the rooms that they watch.

Fed by the lane, in the log's order, with rooms that have changed; feeds the chains of those who watch them. Nothing of
it is replayed: who begins, resumes or has missed something gets the members as they are now, and then what changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from nitro.delivery.chain import Batch
from nitro.delivery.frame import Frame
from nitro.delivery.outbox import Outbox
from nitro.delivery.registry import FeedRegistry
from nitro.delivery.schedule import Schedule
from nitro.messages.message import Message
from nitro.messages.presence import Room, RoomChange
from nitro.messages.topics import PRESENCE_OF

__all__ = ["RoomViews"]

_REMEMBERED: Final = 256


class RoomViews:
    """Belongs to one lane.

    Args:
        max_members: of a room with more, clients get how many they are.
    """

    def __init__(self, feeds: FeedRegistry, schedule: Schedule, max_members: int) -> None:
        self._feeds = feeds
        self._schedule = schedule
        self._max_members = max_members
        self._rooms: dict[str, Room] | None = None
        """By topic; None before this process knows who is there."""
        self._lists: dict[str, Batch] = {}
        """By topic, until the room changes: many clients begin with the same."""

    def open(self, rooms: Mapping[str, Room] | None) -> None:
        """This process knows who is there, if it isn't None: give it to all who watch."""
        if rooms is not None:
            self._rooms = {room.topic: room for room in rooms.values()}
            self._lists.clear()
            self.show_all()

    def append(self, changes: Sequence[RoomChange]) -> None:
        """Tell those who watch what a report has changed."""
        if self._rooms is None:
            return
        for change in changes:
            topic = change.room.topic
            self._lists.pop(topic, None)
            if change.room.members:
                self._rooms[topic] = change.room
            else:
                self._rooms.pop(topic, None)
            if feeds := self._feeds.watching(topic):
                self._feeds.append_rows(feeds, Message(topic, None, change.payload(self._max_members), None))

    def show(self, outbox: Outbox) -> None:
        """Give `outbox` the members of the rooms that it watches, in its place behind what is queued."""
        chain = outbox.chain
        if self._rooms is None or chain is None or not chain.interest.watched or outbox.held_for is not None:
            return
        self._feeds.close(chain)
        for topic in chain.interest.watched:
            if chain.interest.lets_through((topic, None)):
                outbox.put_batch(self._list(self._rooms, topic))
        self._schedule.add(outbox)

    def show_all(self) -> None:
        """Give them to all who watch."""
        watching = dict.fromkeys(feed for topic in self._feeds.watched for feed in self._feeds.watching(topic))
        for feed in watching:
            for outbox in feed:
                self.show(outbox)

    def _list(self, rooms: dict[str, Room], topic: str) -> Batch:
        shown = self._lists.get(topic)
        if shown is None:
            room = rooms.get(topic) or Room(topic.removeprefix(PRESENCE_OF), {})
            shown = Batch.uncounted(Frame(Message(topic, None, room.payload(self._max_members), None)))
            if len(self._lists) >= _REMEMBERED:
                self._lists.clear()
            self._lists[topic] = shown
        return shown

    def __repr__(self) -> str:
        return f"<RoomViews, {'not known yet' if self._rooms is None else f'{len(self._rooms)} rooms'}>"
