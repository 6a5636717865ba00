"""The attendance: the users of this process's own clients, by room. Pure: the clock is given.

A user is in a room from the first client on until some seconds after the last one has gone, so that a page that is
reloaded makes no noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic_core import to_json

from nitro.messages.presence import SAID_BEFORE, Entry, Reported

__all__ = ["Attendance"]

Place = tuple[str, str]
"""A room and a user."""

_NEVER: Final = float("inf")
_ENTRY_BYTES: Final = 64
"""About what an entry takes in a report beside its names and its state."""


class _User:
    """A user in a room.

    Attributes:
        clients: how many clients the user has here.
        entry: what this process says of the user; of the order 0 as long as only this process knows it.
        leaves_at: when the user is gone, if no client comes; never while there is one.
    """

    __slots__ = ("clients", "entry", "leaves_at")

    def __init__(self, entry: Entry) -> None:
        self.clients = 0
        self.entry = entry
        self.leaves_at = _NEVER


class Attendance:
    """Not thread-safe.

    Args:
        linger_seconds: how long a user stays after the last client.
    """

    def __init__(self, linger_seconds: float) -> None:
        self._linger = linger_seconds
        self._users: dict[Place, _User] = {}
        self._leaving: dict[Place, None] = {}  # in the order in which they leave
        self._changed: dict[Place, None] = {}

    def enter(self, room: str, user: str, state: Any, known: Entry) -> None:
        """A client has come.

        Args:
            state: what the application says of its user; None changes nothing.
            known: what is known of a user who wasn't here yet.
        """
        place = room, user
        found = self._users.get(place)
        if found is None:
            found = self._users[place] = _User(known)
            self._changed[place] = None
        found.clients += 1
        found.leaves_at = _NEVER
        self._leaving.pop(place, None)
        if state is not None:
            self.set_state(room, user, state)

    def leave(self, room: str, user: str, now: float) -> None:
        """A client has gone."""
        place = room, user
        found = self._users[place]
        found.clients -= 1
        if not found.clients:
            found.leaves_at = now + self._linger
            self._leaving[place] = None

    def set_state(self, room: str, user: str, state: Any) -> None:
        """What the application says of a user who is there; None takes away what it said before."""
        found = self._users.get((room, user))
        if found is not None and to_json(found.entry.state) != to_json(state):
            found.entry = found.entry._replace(state=state, order=0)
            self._changed[room, user] = None

    def take_over(self, room: str, user: str, order: int, newest: Entry, told: Entry | None) -> None:
        """Say of a user who is here what is the newest in the log, unless one of the clients has said something else.

        Args:
            order: how far the log is read.
            newest: what all processes are shown.
            told: what they take for this process's own; None if they have nothing of it.
        """
        place = room, user
        found = self._users[place]
        if not found.entry.order:
            is_said_now = told is not None and told.order == order
            if place in self._changed or not is_said_now or to_json(newest.state) != to_json(found.entry.state):
                return
        if newest.order >= found.entry.order:
            found.entry = newest
        if told is not None and told != found.entry:
            self._changed[place] = None

    def take_changes(self, now: float, max_bytes: int) -> list[Reported]:
        """What has changed since it was asked last, in parts of at most so many bytes of JSON."""
        for place in tuple(self._leaving):
            if self._users[place].leaves_at > now:
                break
            del self._leaving[place], self._users[place]
            self._changed[place] = None
        taken, self._changed = self._changed, {}
        return list(self._parts(taken, max_bytes))

    def put_back(self, rooms: Reported) -> None:
        """These changes couldn't be told."""
        for room, users in rooms.items():
            for user in users:
                self._changed[room, user] = None

    def whole(self, max_bytes: int) -> list[Reported]:
        """All users, in such parts; one without anybody if nobody is there. What has changed is told by them, too."""
        self._changed = {place: None for place in self._changed if place not in self._users}
        return list(self._parts(self._users, max_bytes)) or [{}]

    def forget_orders(self) -> None:
        """The log is another one."""
        for found in self._users.values():
            if found.entry.order > 0:
                found.entry = found.entry._replace(order=SAID_BEFORE)

    def _parts(self, places: Iterable[Place], max_bytes: int) -> Iterator[Reported]:
        rooms, size = Reported(), 0
        for room, user in places:
            found = self._users.get((room, user))
            more = _ENTRY_BYTES + len(to_json(user)) + (len(to_json(room)) if room not in rooms else 0)
            more += len(to_json(found.entry.state)) if found is not None else 0
            if rooms and size + more > max_bytes:
                yield rooms
                rooms, size = Reported(), 0
            size += more
            rooms.setdefault(room, {})[user] = None if found is None else found.entry
        if rooms:
            yield rooms

    @property
    def has_changes(self) -> bool:
        """Whether something has to be told."""
        return bool(self._changed)

    @property
    def next_leave_at(self) -> float:
        """When the next user is gone; never if none is about to leave."""
        first = next(iter(self._leaving), None)
        return _NEVER if first is None else self._users[first].leaves_at

    def __contains__(self, place: Place) -> bool:
        return place in self._users

    def __len__(self) -> int:
        return len(self._users)

    def __repr__(self) -> str:
        return f"<Attendance of {len(self._users)} users, {len(self._leaving)} about to leave>"
