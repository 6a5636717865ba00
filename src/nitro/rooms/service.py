"""The service: presence of one process. It reports this process's users, and hears what all processes report.

Clients come and go in any thread; a thread of its own writes the reports, since some are due without anybody coming.
The hub calls `hear` for each report in the log, those of this process included.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nitro.brokers.shared_future import SharedFuture
from nitro.delivery.hub import Hub
from nitro.errors import ConfigurationError, NitroError, PayloadTooLarge
from nitro.messages.message import Message
from nitro.messages.presence import PRESENCE, UNSAID, Entry, Kind, Member, Report, Reported, Room, RoomChange
from nitro.rooms.attendance import Attendance
from nitro.rooms.roster import Roster

__all__ = ["RoomService"]

log: Final = logging.getLogger("nitro.rooms")

_PAUSE_SECONDS: Final = 0.05
"""Between two reports of a process: what happens meanwhile is one report."""
_CROWDED_PAUSE_SECONDS: Final = 1.0
"""The same, if all rooms of a report have so many members that clients only get how many."""
_AGAIN_SECONDS: Final = 1.0
"""Until what couldn't be told or asked is tried again."""
_ANSWER_SECONDS: Final = 0.4
"""Between two answers of a process: one is for all who have asked meanwhile."""
_ALONE_SECONDS: Final = 1.0
"""If no process answers within that time, no other one has users."""
_KNOWN_SECONDS: Final = 3.0
"""After that time, who hasn't answered is waited for no longer."""
_TURN_SECONDS: Final = 0.25
"""Processes say one after the other that one is dead, so that one of them does."""
_REPORT_BYTES: Final = 128 * 1024
"""About the longest report; what is more goes into further ones."""
_LEAST_PAYLOAD_BYTES: Final = 8 * 1024
"""Room for one user with the longest names and state."""
_NEVER: Final = float("inf")


class RoomService:
    """Implements `hub.Presence`. Thread-safe; those who call may hold the hub's lock, which is taken before its own.

    Attributes:
        known: done once it is known who is in which room.
    """

    def __init__(self, hub: Hub) -> None:
        limit = hub.settings.max_payload_bytes
        if limit < _LEAST_PAYLOAD_BYTES:
            raise ConfigurationError(
                f"presence needs NITRO_MAX_PAYLOAD_BYTES of at least {_LEAST_PAYLOAD_BYTES}, and it is {limit}"
            )
        self.known: SharedFuture[None] = SharedFuture()
        self._hub = hub
        self._id = secrets.token_hex(6)
        self._max_bytes = min(_REPORT_BYTES, limit // 2)
        self._epoch = ""
        self._max_members = hub.settings.presence_max_members
        self._lease = hub.settings.presence_lease_seconds
        self._leave = hub.settings.presence_leave_seconds
        self._attendance = Attendance(self._leave)
        self._roster = Roster()
        self._condition = threading.Condition(threading.RLock())
        self._number = 0
        self._is_listed = False  # whether others know its users, so that a change is enough
        self._owes_whole = False
        self._asks = hub.broker.is_shared
        self._asked_at = _NEVER  # when its first question was read in the log
        self._expected: dict[str, int] | None = None
        self._reported_at = self._whole_at = self._may_ask_at = self._may_report_at = self._may_end_at = 0.0
        self._wakes_at = self._looked_at = 0.0
        self._is_closed = False

    def start(self) -> None:
        """Hear what is in the log from here on, and report."""
        self._hub.attend(self)
        self._hub.when_drained.append(self._take_leave)
        threading.Thread(target=self._run, name="nitro-rooms", daemon=True).start()

    def enter(self, room: str, user: str, state: Any) -> None:
        """A client of this process has come; a member who is elsewhere already stays one, as he is."""
        with self._condition:
            known = self._roster.newest(room, user) or Entry(None, round(time.time(), 3), UNSAID)
            self._attendance.enter(room, user, state, known)
            self._wake_by(self._may_report_at)

    def leave(self, room: str, user: str) -> None:
        """A client of this process has gone."""
        with self._condition:
            self._attendance.leave(room, user, time.monotonic())
            self._wake_by(max(self._attendance.next_leave_at, self._may_report_at))

    def set_state(self, room: str, user: str, state: Any) -> None:
        """What the application says of a user who is there."""
        with self._condition:
            self._attendance.set_state(room, user, state)
            self._wake_by(self._may_report_at)

    def members(self, room: str) -> list[Member]:
        """Who is in a room now, as far as this process knows."""
        with self._condition:
            return self._roster.members(room)

    @property
    def rooms(self) -> Mapping[str, Room] | None:
        with self._condition:
            return self._roster.rooms if self.known.done() else None

    def hear(self, message: Message) -> Sequence[RoomChange]:
        report = Report.parse(message.payload)
        if report is None or message.position is None:
            return ()
        with self._condition:
            now = time.monotonic()
            if report.kind == "ask":
                if report.worker == self._id:
                    self._asked_at = min(self._asked_at, now)
                self._owes_whole |= report.worker != self._id and self._is_listed
                self._condition.notify()
                return ()
            self._follow_epoch(message.position.epoch)
            changes = self._roster.apply(report, message.position.sequence, now)
            self._take_over(report.rooms, message.position.sequence)
            self._owes_whole |= changes is None and report.worker == self._id  # one of its own isn't in the log
            if report.kind == "leaving":
                self._roster.count_as_heard(report.worker, now - self._lease + self._leave)
            elif report.kind == "ended":
                self._owes_whole |= self._is_listed and self._id not in self._roster.workers
            elif report.kind == "whole" and self._expected is None and report.worker != self._id:
                self._expected = report.workers
            self._asks |= changes is None and report.worker != self._id
            self._condition.notify()
            return changes or ()

    def _take_over(self, rooms: Reported, order: int) -> None:
        for room, users in rooms.items():
            for user in users:
                newest = self._roster.newest(room, user) if (room, user) in self._attendance else None
                if newest is not None:
                    told = self._roster.told_by(self._id, room, user)
                    self._attendance.take_over(room, user, order, newest, told)

    def _follow_epoch(self, epoch: str) -> None:
        if self._epoch and epoch != self._epoch:
            self._roster.forget_orders()
            self._attendance.forget_orders()
        self._epoch = epoch

    def lose(self) -> None:
        with self._condition:
            self._roster.excuse(time.monotonic())
            self._asks = True
            self._owes_whole |= self._is_listed
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        self._take_leave()

    def _take_leave(self) -> None:
        """Say that the process ends. If it doesn't, its next report says that it lives."""
        with self._condition:
            last = [self._report("leaving")] if self._is_listed else []
        self._publish(last)

    def _wake_by(self, when: float) -> None:
        """Wake the thread if it would sleep longer: to wake it for each who comes would cost more than all the rest."""
        if when < self._wakes_at:
            self._condition.notify()

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._run_once()
            except Exception:
                log.exception("presence has failed, and goes on in a second")
                time.sleep(_AGAIN_SECONDS)

    def _run_once(self) -> None:
        with self._condition:
            reports, seconds = self._due(time.monotonic())
            is_known = not self.known.done() and self._knows(time.monotonic())
            if not reports and not is_known:
                self._condition.wait(seconds)
                self._wakes_at = 0.0
        if is_known:
            with self._hub.broker.lock:
                self.known.set_result(None)
                self._hub.open_rooms()
        self._publish(reports)

    def _publish(self, reports: list[Report]) -> None:
        for place, report in enumerate(reports):
            try:
                self._hub.publish(PRESENCE, None, report.payload)
            except NitroError as error:
                log.warning("who is present can't be told now, and is told in a second: %s", error)
                with self._condition:
                    if isinstance(error, PayloadTooLarge):  # the broker takes less than the settings say
                        self._max_bytes = max(self._max_bytes // 2, _LEAST_PAYLOAD_BYTES // 2)
                    for untold in reports[place:]:
                        self._attendance.put_back(untold.rooms)
                        self._asks |= untold.kind == "ask"
                        self._owes_whole |= untold.kind in ("change", "whole")
                    self._is_listed |= self._owes_whole
                    self._may_ask_at = self._whole_at = self._may_report_at = time.monotonic() + _AGAIN_SECONDS
                return

    def _due(self, now: float) -> tuple[list[Report], float | None]:
        """What is to be written now; if nothing, how many seconds until something may be."""
        reports: list[Report] = []
        if self._asks and now >= self._may_ask_at:
            self._asks = False
            self._may_ask_at = now + _AGAIN_SECONDS
            reports.append(Report("ask", self._id))
        if self._owes_whole and now >= self._whole_at:
            self._whole_at = now + _ANSWER_SECONDS
            reports += self._whole(now)
        elif now >= self._may_report_at:
            reports += self._change(now)
        silent, look_at = self._silent(now)
        if silent:
            reports.append(Report("ended", self._id, workers=silent))
        if reports:
            return reports, 0.0
        return [], self._until(now, look_at)

    def _whole(self, now: float) -> list[Report]:
        self._owes_whole = False
        parts = self._attendance.whole(self._max_bytes)
        known = {name: worker.number for name, worker in self._roster.workers.items()}
        known[self._id] = self._number + len(parts)
        self._is_listed = bool(self._attendance)
        self._note(now)
        return [
            self._report("change", rooms) if n else self._report("whole", rooms, known) for n, rooms in enumerate(parts)
        ]

    def _change(self, now: float) -> list[Report]:
        if not self._is_listed:
            if not self._attendance:
                self._attendance.take_changes(now, self._max_bytes)
                return []
            return self._whole(now)
        parts = self._attendance.take_changes(now, self._max_bytes)
        if not parts and now < self._reported_at + self._beat:
            return []
        is_crowded = bool(parts) and all(self._is_crowded(room) for part in parts for room in part)
        self._note(now, _CROWDED_PAUSE_SECONDS if is_crowded else _PAUSE_SECONDS)
        self._is_listed = bool(self._attendance)
        return [self._report("change", part) for part in parts or [{}]]

    def _note(self, now: float, pause: float = _PAUSE_SECONDS) -> None:
        self._reported_at = now
        self._may_report_at = now + pause

    @property
    def _beat(self) -> float:
        """How long a process with users may say nothing; for ever if no other process listens."""
        return self._lease / 3 if self._hub.broker.is_shared else _NEVER

    def _report(self, kind: Kind, rooms: Reported | None = None, workers: dict[str, int] | None = None) -> Report:
        self._number += 1
        return Report(kind, self._id, self._number, rooms or {}, workers or {})

    def _is_crowded(self, room: str) -> bool:
        found = self._roster.rooms.get(room)
        return found is not None and len(found.members) > self._max_members

    def _silent(self, now: float) -> tuple[dict[str, int], float]:
        """The processes that count as dead, and when to look again: in time to notice if this one was frozen."""
        stood_still, self._looked_at = now - self._looked_at - self._beat, now
        others = {name: worker for name, worker in self._roster.workers.items() if name != self._id}
        if not others or not self.known.done():
            return {}, _NEVER
        if self._hub.broker.state.gone_seconds:
            self._roster.excuse(now)
            return {}, now + _AGAIN_SECONDS
        if stood_still > 0:
            self._roster.excuse(now, stood_still)
        alive = sorted(name for name, worker in self._roster.workers.items() if worker.heard_at > now - self._lease)
        turn = alive.index(self._id) if self._id in alive else len(alive)
        patience = self._lease + turn * _TURN_SECONDS
        silent = {name: worker.number for name, worker in others.items() if worker.heard_at <= now - patience}
        if silent and now >= self._may_end_at:
            self._may_end_at = now + _AGAIN_SECONDS
            return silent, now
        may_end_at = max(min(worker.heard_at for worker in others.values()) + patience, self._may_end_at)
        return {}, min(may_end_at, now + self._beat)

    def _knows(self, now: float) -> bool:
        """Whether it is known who is in which room: all have answered, or nobody is there who could."""
        if not self._hub.broker.is_shared:
            return True
        workers = self._roster.workers
        if self._expected is not None and all(
            name in workers and workers[name].number >= number for name, number in self._expected.items()
        ):
            return True
        waits = _ALONE_SECONDS if self._expected is None else _KNOWN_SECONDS
        return now >= self._asked_at + waits

    def _until(self, now: float, look_at: float) -> float | None:
        times = [look_at, max(self._attendance.next_leave_at, self._may_report_at)]
        if not self.known.done() and self._asked_at < _NEVER:
            times.append(now + _PAUSE_SECONDS)
        if self._asks:
            times.append(self._may_ask_at)
        if self._owes_whole:
            times.append(self._whole_at)
        if self._attendance.has_changes:
            times.append(self._may_report_at)
        if self._is_listed:
            times.append(max(self._reported_at + self._beat, self._may_report_at))
        self._wakes_at = soonest = min(times)
        return None if soonest == _NEVER else max(soonest - now, 0.001)

    def __repr__(self) -> str:
        return f"<RoomService {self._id}: {self._attendance!r}, {self._roster!r}>"
