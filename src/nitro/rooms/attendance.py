"""The attendance: the users of this process's own clients, by room. Pure: the clock is given.

A user is in a room from the first client on until some seconds after the last one has gone, so that a page that is
reloaded makes no noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nitro.messages.presence import Entry

__all__ = ["Attendance"]

Place = tuple[str, str]
"""A room and a user."""
_NEVER: Final = float("inf")


class _User:
    """A user in a room.

    Attributes:
        clients: how many clients the user has here.
        state: the newest that one of them has set.
        since: when the user came, in seconds since 1970.
        leaves_at: when the user is gone, if no client comes; never while there is one.
    """

    __slots__ = ("clients", "leaves_at", "since", "state")

    def __init__(self, since: float) -> None:
        self.clients = 0
        self.state: Any = None
        self.since = since
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

    def enter(self, room: str, user: str, state: Any, since: float) -> None:
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
        """What the application says of a user who is there."""
        found = self._users.get((room, user))
        if found is not None and found.state != state:
            found.state = state
            self._changed[room, user] = None

    def take_changes(self, now: float, most: int) -> dict[str, dict[str, Entry | None]]:
        """What has changed since it was asked last: room → user → entry, None if the user is gone; at most so many."""
        for place in tuple(self._leaving):
            if self._users[place].leaves_at > now:
                break
            del self._leaving[place], self._users[place]
            self._changed[place] = None
        taken = list(self._changed)[:most]
        for place in taken:
            del self._changed[place]
        return self._reported(taken, lambda _room, _user: 0)

    def put_back(self, rooms: dict[str, dict[str, Entry | None]]) -> None:
        """These changes couldn't be told."""
        for room, users in rooms.items():
            for user in users:
                self._changed[room, user] = None

    def whole(self, order_of: Callable[[str, str], int], most: int) -> list[dict[str, dict[str, Entry | None]]]:
        """All users, in parts of at most so many; what has changed is told by them, too.

        Args:
            order_of: the place in the log at which a user's state was told; 0 if it wasn't.
        """
        changed = self._changed
        self._changed = {place: None for place in changed if place not in self._users}

        def order(room: str, user: str) -> int:
            return 0 if (room, user) in changed else order_of(room, user)

        places = list(self._users)
        return [self._reported(places[n : n + most], order) for n in range(0, len(places) or 1, most)]

    def _reported(self, places: list[Place], order_of: Callable[[str, str], int]) -> dict[str, dict[str, Entry | None]]:
        rooms: dict[str, dict[str, Entry | None]] = {}
        for room, user in places:
            found = self._users.get((room, user))
            entry = None if found is None else Entry(found.state, found.since, order_of(room, user))
            rooms.setdefault(room, {})[user] = entry
        return rooms

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
