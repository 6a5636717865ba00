"""Presence on the wire: who is in which room. What workers tell each other in the log, and what clients get.

Workers write under a reserved topic, which applications can't emit. Clients of a room hear the topic `presence.<room>`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from nitro.messages.one_line import on_one_line
from nitro.messages.topics import PRESENCE_OF

__all__ = ["PRESENCE", "SAID_BEFORE", "UNSAID", "Entry", "Kind", "Member", "Report", "Reported", "Room", "RoomChange"]

PRESENCE: Final = "nitro.presence"
Kind: TypeAlias = Literal["change", "whole", "leaving", "ask", "ended"]
"""What a report says; see `Report`."""
SAID_BEFORE: Final = -1
"""The order of a state that was said in another log."""
UNSAID: Final = -2
"""The order of a state that nobody has said: it is None."""


class Entry(NamedTuple):
    """What one worker says of a user in a room.

    Attributes:
        state: what the application said last of the user, by any worker, as far as this one knows.
        since: when the user came, in seconds since 1970.
        order: the place in the log at which it was said; 0 if that is the place of this report; else `SAID_BEFORE` or
            `UNSAID`. The newest counts.
    """

    state: Any
    since: Annotated[float, Field(allow_inf_nan=False)]
    order: int = 0


Reported: TypeAlias = dict[str, dict[str, Entry | None]]
"""Room → user → entry; None if the user is gone."""


class Report(NamedTuple):
    """What a worker writes in the log about presence.

    Attributes:
        kind: `"change"`: some of its users have come, gone or changed. `"whole"`: these are all its users. `"leaving"`:
            its process ends. `"ask"`: it knows nothing yet, and asks all workers for a whole report. `"ended"`:
            `workers` are silent, and count as dead if that was their last report.
        worker: its id, which no other process has.
        number: of its reports but `"ask"` and `"ended"`, without holes.
        rooms: of whom it says something.
        workers: of `"whole"` and `"ended"`: worker → number of its last report, as far as the log had been read.
    """

    kind: Kind
    worker: str
    number: int = 0
    rooms: Reported = {}  # noqa: RUF012 - never changed
    workers: dict[str, int] = {}  # noqa: RUF012 - never changed

    @property
    def payload(self) -> bytes:
        """The report as JSON."""
        return to_json(list(self))

    @classmethod
    def parse(cls, payload: bytes) -> Self | None:
        """The report in `payload`; None if it is invalid, since others may write to the log."""
        try:
            return _REPORT.validate_json(payload)  # type: ignore[return-value]
        except ValidationError:
            return None


_REPORT: Final = TypeAdapter(Report)


class Member(NamedTuple):
    """A user in a room.

    Attributes:
        user_id: the user.
        state: what the application said last of the user, in whichever tab and worker.
        since: when the user came, in seconds since 1970.
    """

    user_id: str
    state: Any
    since: float


class Room:
    """The members of a room at one place in the log; never changed.

    Attributes:
        name, topic: of the room, and what clients hear it by.
        members: by user id.
    """

    __slots__ = ("members", "name", "topic")

    def __init__(self, name: str, members: dict[str, Member]) -> None:
        self.name: str = name
        self.topic: str = PRESENCE_OF + name
        self.members: dict[str, Member] = members

    def payload(self, max_members: int) -> bytes:
        """What a client gets that begins: the members, or how many they are if they are too many."""
        shown: dict[str, Any] = {"room": self.name, "count": len(self.members)}
        if len(self.members) <= max_members:
            shown["members"] = [member._asdict() for member in self.sorted]
        return on_one_line(to_json(shown))

    @property
    def sorted(self) -> list[Member]:
        """The members; those that came first are first."""
        return sorted(self.members.values(), key=lambda member: (member.since, member.user_id))

    def __repr__(self) -> str:
        return f"<Room {self.name}: {len(self.members)} members>"


class RoomChange(NamedTuple):
    """What one report has changed in a room.

    Attributes:
        room: as it is now.
        joined, updated: members that came, and those whose state is another.
        left: ids of users that are gone.
    """

    room: Room
    joined: list[Member]
    left: list[str]
    updated: list[Member]

    def payload(self, max_members: int) -> bytes:
        """What a client gets that has had everything before."""
        room = self.room
        before = len(room.members) - len(self.joined) + len(self.left)
        if before > max_members or len(room.members) > max_members:
            return room.payload(max_members)
        shown: dict[str, Any] = {"room": room.name, "count": len(room.members)}
        for name in ("joined", "updated"):
            if changed := getattr(self, name):
                shown[name] = [member._asdict() for member in changed]
        if self.left:
            shown["left"] = self.left
        return on_one_line(to_json(shown))
