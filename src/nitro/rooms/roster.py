"""The roster: who is in which room, from the reports of all workers in the log's order. Pure: no clock, no I/O.

Every process that reads the same reports has the same roster, so a list has a place in the log. A worker alone says who
its users are. Its reports are numbered: whoever misses one, or hears of an unknown worker, asks for whole reports.
What a worker says anew of a user, all workers that have the user say from there on, without a report of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nitro.messages.presence import SAID_BEFORE, Entry, Member, Report, Room, RoomChange

__all__ = ["Roster"]

_Touched = dict[str, dict[str, None]]
"""Room → users of whom something may have changed, in the order of the reports."""


class _Worker:
    """What is known of a worker.

    Attributes:
        number: of its last report.
        heard_at: when that was read.
        rooms: room → its users in it.
    """

    __slots__ = ("heard_at", "number", "rooms")

    def __init__(self, number: int, heard_at: float) -> None:
        self.number = number
        self.heard_at = heard_at
        self.rooms: dict[str, set[str]] = {}


class Roster:
    """Not thread-safe.

    Attributes:
        rooms: those with members, by name.
        workers: those with users, by id.
    """

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.workers: dict[str, _Worker] = {}
        self._entries: dict[str, dict[str, dict[str, Entry]]] = {}  # room → user → worker

    def apply(self, report: Report, order: int, now: float) -> list[RoomChange] | None:
        """What a report changes; None if it can't be understood without a whole one.

        Args:
            order: the place of the report in the log.
            now: when it was read, in seconds.
        """
        if report.kind == "ended":
            return self._end(report.workers)
        worker = self.workers.get(report.worker)
        touched: _Touched = {}
        if worker is None or report.number != worker.number + 1:
            if worker is not None and report.number <= worker.number:
                return []
            if report.kind != "whole":
                return None
            if worker is not None:
                self._forget(report.worker, touched)
            worker = self.workers[report.worker] = _Worker(report.number, now)
        worker.number, worker.heard_at = report.number, now
        for room, users in report.rooms.items():
            touched.setdefault(room, {}).update(dict.fromkeys(users))
            for user, entry in users.items():
                self._put(report.worker, worker, room, user, entry, order)
        if not worker.rooms:
            del self.workers[report.worker]
        return self._changes(touched)

    def count_as_heard(self, worker: str, heard_at: float) -> None:
        """Count a worker whose process ends as last heard then."""
        known = self.workers.get(worker)
        if known is not None:
            known.heard_at = heard_at

    def excuse(self, now: float, seconds: float = float("inf")) -> None:
        """Don't count so many of the last seconds as silence of any worker: nobody could be heard in them."""
        for worker in self.workers.values():
            worker.heard_at = max(worker.heard_at, min(worker.heard_at + seconds, now))

    def members(self, room: str) -> list[Member]:
        """Who is in a room now."""
        found = self.rooms.get(room)
        return [] if found is None else found.sorted

    def newest(self, room: str, user: str) -> Entry | None:
        """What all processes are shown of a user; None if the user isn't there."""
        by_worker = self._entries.get(room, {}).get(user)
        return None if by_worker is None else _newest(by_worker)

    def told_by(self, worker: str, room: str, user: str) -> Entry | None:
        """What a worker says of a user; None if it has nothing of the user."""
        return self._entries.get(room, {}).get(user, {}).get(worker)

    def forget_orders(self) -> None:
        """The log is another one: what anybody says from here on is newer than all that was said before."""
        for users in self._entries.values():
            for by_worker in users.values():
                for worker, entry in by_worker.items():
                    if entry.order > 0:
                        by_worker[worker] = entry._replace(order=SAID_BEFORE)

    def _end(self, workers: dict[str, int]) -> list[RoomChange]:
        touched: _Touched = {}
        for name, number in workers.items():
            worker = self.workers.get(name)
            if worker is not None and worker.number == number:  # else it was heard meanwhile
                self._forget(name, touched)
                del self.workers[name]
        return self._changes(touched)

    def _forget(self, name: str, touched: _Touched) -> None:
        for room, users in self.workers[name].rooms.items():
            touched.setdefault(room, {}).update(dict.fromkeys(users))
            for user in users:
                self._drop(name, room, user)

    def _put(self, name: str, worker: _Worker, room: str, user: str, entry: Entry | None, order: int) -> None:
        users = worker.rooms.setdefault(room, set())
        if entry is not None:
            users.add(user)
            by_worker = self._entries.setdefault(room, {}).setdefault(user, {})
            if not entry.order:
                for other, old in by_worker.items():
                    by_worker[other] = old._replace(state=entry.state, order=order)
            # an order that is still to come is one of another log, whose end the worker hadn't read yet
            by_worker[name] = entry._replace(order=(entry.order or order) if entry.order <= order else SAID_BEFORE)
        elif user in users:
            users.discard(user)
            self._drop(name, room, user)
        if not users:
            del worker.rooms[room]

    def _drop(self, name: str, room: str, user: str) -> None:
        of_room = self._entries[room]
        del of_room[user][name]
        if not of_room[user]:
            del of_room[user]
        if not of_room:
            del self._entries[room]

    def _changes(self, touched: _Touched) -> list[RoomChange]:
        changes = [self._change(room, users) for room, users in touched.items()]
        for change in changes:
            if change.room.members:
                self.rooms[change.room.name] = change.room
            else:
                self.rooms.pop(change.room.name, None)
        return [change for change in changes if change.joined or change.left or change.updated]

    def _change(self, name: str, users: Iterable[str]) -> RoomChange:
        before = self.rooms.get(name)
        entries = self._entries.get(name, {})
        members = {} if before is None else dict(before.members)
        joined, left, updated = list[Member](), list[str](), list[Member]()
        for user in users:
            old, by_worker = members.get(user), entries.get(user)
            if by_worker is None:
                if old is not None:
                    del members[user]
                    left.append(user)
                continue
            newest = _newest(by_worker)
            member = Member(user, newest.state, newest.since)
            members[user] = member
            if old is None:
                joined.append(member)
            elif repr(old.state) != repr(member.state):  # JSON's true and 1 are equal in Python
                updated.append(member)
        return RoomChange(Room(name, members), joined, left, updated)

    def __repr__(self) -> str:
        return f"<Roster of {len(self.rooms)} rooms by {len(self.workers)} workers>"


def _newest(by_worker: Mapping[str, Entry]) -> Entry:
    """What counts; the same in all processes, also of what was said before this log."""
    newest = max(by_worker.items(), key=lambda told: (told[1].order, told[0]))[1]
    return newest._replace(since=min([entry.since for entry in by_worker.values()]))
