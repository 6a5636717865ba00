"""The attendance: the users of this process's own clients, by room. Pure: the clock is given.

A user is in a room from the first client on until some seconds after the last one has gone, so that a page that is
reloaded makes no noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic_core import to_json

from nitro.messages.presence import Entry, Reported

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
        state: the newest that one of them has set.
        json: the same as JSON.
        since: when the user came, in seconds since 1970.
        order: the place in the log at which the state was told; 0 if it wasn't.
        leaves_at: when the user is gone, if no client comes; never while there is one.
    """

    __slots__ = ("clients", "json", "leaves_at", "order", "since", "state")

    def __init__(self, since: float) -> None:
        self.clients = 0
        self.state: Any = None
        self.json = b"null"
        self.since = since
        self.order = 0
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

    def enter(self, room: str, user: str, state: Any, since: float, *, is_shown: bool = True) -> None:
        """A client has come; a state of None changes nothing."""
        place = room, user
        found = self._users.get(place)
        if found is None:
            found = self._users[place] = _User(since)
            self._changed[place] = None
        found.clients += 1
        found.leaves_at = _NEVER
        self._leaving.pop(place, None)
        if state is not None:
            self.set_state(room, user, state, is_shown=is_shown)

    def leave(self, room: str, user: str, now: float) -> None:
        """A client has gone."""
        place = room, user
        found = self._users[place]
        found.clients -= 1
        if not found.clients:
            found.leaves_at = now + self._linger
            self._leaving[place] = None

    def set_state(self, room: str, user: str, state: Any, *, is_shown: bool = True) -> None:
        """What the application says of a user who is there.

        Args:
            is_shown: whether all are shown that state; not if another process has told a newer one.
        """
        found, json = self._users.get((room, user)), to_json(state)
        if found is not None and (found.json != json or (found.order and not is_shown)):
            found.state, found.json, found.order = state, json, 0
            self._changed[room, user] = None

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

    def was_told(self, rooms: Reported, order: int) -> None:
        """A report was read in the log, at that place."""
        for room, users in rooms.items():
            for user, entry in users.items():
                found = self._users.get((room, user))
                if found is not None and entry is not None and not entry.order and entry.state == found.state:
                    found.order = order

    def forget_orders(self) -> None:
        """The log is another one."""
        for found in self._users.values():
            found.order = 0

    def _parts(self, places: Iterable[Place], max_bytes: int) -> Iterator[Reported]:
        rooms, size = Reported(), 0
        for room, user in places:
            found = self._users.get((room, user))
            more = _ENTRY_BYTES + len(to_json(user)) + (len(to_json(room)) if room not in rooms else 0)
            more += len(found.json) if found is not None else 0
            if rooms and size + more > max_bytes:
                yield rooms
                rooms, size = Reported(), 0
            size += more
            entry = None if found is None else Entry(found.state, found.since, found.order)
            rooms.setdefault(room, {})[user] = entry
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

    def __len__(self) -> int:
        return len(self._users)

    def __repr__(self) -> str:
        return f"<Attendance of {len(self._users)} users, {len(self._leaving)} about to leave>"
