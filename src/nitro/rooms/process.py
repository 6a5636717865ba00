"""`nitro.presence`: who is in a room now. The process's one service, made when something first needs it."""

from __future__ import annotations

from typing import Final

from nitro.delivery.process import get_hub
from nitro.errors import BrokerUnavailable, InvalidTopic
from nitro.messages.presence import Member
from nitro.messages.topics import PRESENCE_OF, check_pattern
from nitro.rooms.service import RoomService

__all__ = ["Presence", "check_room", "get_rooms", "presence"]


def get_rooms() -> RoomService:
    """The service of this process; a forked child gets one of its own."""
    hub = get_hub()
    if not isinstance(hub.presence, RoomService):
        with hub.broker.lock:
            if not isinstance(hub.presence, RoomService):
                RoomService(hub).start()
    assert isinstance(hub.presence, RoomService)
    return hub.presence


def check_room(room: str) -> str:
    """`room` itself, if it names a room.

    Raises:
        TopicTypeError: it is no string.
        InvalidTopic: it breaks the grammar of topics, is a pattern, or is longer than 246 characters.
    """
    if isinstance(room, str) and ("*" in room or room == "ANY"):
        raise InvalidTopic(f"a room has one exact name, and {room!a:.60} is a pattern")
    check_pattern(room)
    check_pattern(PRESENCE_OF + room)
    return room


class Presence:
    """`nitro.presence`."""

    def __call__(self, room: str) -> list[Member]:
        """Who is in a room now: users with a client that has `presence=room`, in any process; the first ones first.

        A process that has never used presence before knows it a moment later; `ready` waits for that.

        Raises:
            InvalidTopic, TopicTypeError: `room` can't be the name of a room.
        """
        return get_rooms().members(check_room(room))

    async def ready(self, timeout_seconds: float = 5.0) -> None:
        """Wait until this process knows who is present: at once, or some seconds after it first asked.

        Raises:
            BrokerUnavailable: it didn't within `timeout_seconds`, since the broker isn't reached.
        """
        if not await get_rooms().known.wait(timeout_seconds):
            broker = get_hub().broker
            why = broker.state.why_waiting(broker.name)
            raise BrokerUnavailable(f"who is present was not known within {timeout_seconds:g} s: {why}")

    def __repr__(self) -> str:
        return "nitro.presence"


presence: Final = Presence()
"""Who is where: `presence("room.42")` are the members of that room, the same in every process."""
