"""The roster against a plain model: whatever workers report, and whichever reports somebody misses.

And services without their threads over a list as their log: when each of them writes, and reads, is decided here.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nitro.delivery.hub import Hub
from nitro.messages.message import Message, Position
from nitro.messages.presence import PRESENCE, SAID_BEFORE, UNSAID, Entry, Report, RoomChange
from nitro.rooms.attendance import Attendance
from nitro.rooms.roster import Roster
from nitro.rooms.service import RoomService

UNHURRIED = settings(deadline=None)
WITH_HUB = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""No example changes the hub: services without threads only read its settings."""
WORKERS, ROOMS, USERS = ["w1", "w2", "w3"], ["a", "b"], ["ann", "bob", "eve"]
Claim = tuple[str, str, str, int | None]
CLAIMS = st.lists(
    st.tuples(
        *(st.sampled_from(WORKERS), st.sampled_from(ROOMS), st.sampled_from(USERS)), st.none() | st.integers(0, 3)
    ),
    max_size=60,
)


class Page:
    """Applies changes as a browser does."""

    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, Any]] = defaultdict(dict)

    def apply(self, changes: list[RoomChange]) -> None:
        for change in changes:
            members = self.rooms[change.room.name]
            for member in (*change.joined, *change.updated):
                members[member.user_id] = member.state
            for user in change.left:
                del members[user]

    def shown(self) -> dict[str, dict[str, Any]]:
        return {room: members for room, members in self.rooms.items() if members}


def shown_by(roster: Roster) -> dict[str, dict[str, Any]]:
    return {name: {user: member.state for user, member in room.members.items()} for name, room in roster.rooms.items()}


class Writers:
    """Workers that report as the service does: a worker that had nobody begins with a whole report.

    What one of them says of a user counts for all who have the user: they take it over.
    """

    def __init__(self) -> None:
        self.numbers = dict.fromkeys(WORKERS, 0)
        self.users: dict[str, dict[tuple[str, str], tuple[int, int]]] = {worker: {} for worker in WORKERS}

    def say(self, worker: str, room: str, user: str, state: int | None, order: int) -> Report:
        mine = self.users[worker]
        kind: Any = "change" if mine else "whole"
        self.numbers[worker] += 1
        if state is None:
            mine.pop((room, user), None)
        else:
            mine[room, user] = (state, order)
            for users in self.users.values():
                if (room, user) in users:
                    users[room, user] = (state, order)
        entry = None if state is None else Entry(state, float(order))
        return Report(kind, worker, self.numbers[worker], {room: {user: entry}})

    def whole(self, worker: str) -> Report:
        self.numbers[worker] += 1
        rooms: dict[str, dict[str, Entry | None]] = {}
        for (room, user), (state, order) in self.users[worker].items():
            rooms.setdefault(room, {})[user] = Entry(state, float(order), order)
        return Report("whole", worker, self.numbers[worker], rooms)

    def truth(self) -> dict[str, dict[str, Any]]:
        newest: dict[str, dict[str, tuple[int, int]]] = {}
        for mine in self.users.values():
            for (room, user), (state, order) in mine.items():
                known = newest.setdefault(room, {}).get(user)
                if known is None or known[0] < order:
                    newest[room][user] = (order, state)
        return {room: {user: state for user, (_, state) in users.items()} for room, users in newest.items()}


@UNHURRIED
@given(CLAIMS)
def test_whoever_reads_all_reports_has_the_newest_of_each_and_so_has_a_page(claims: list[Claim]) -> None:
    writers, roster, page = Writers(), Roster(), Page()
    for order, (worker, room, user, state) in enumerate(claims, 1):
        report = Report.parse(writers.say(worker, room, user, state, order).payload)
        assert report is not None
        changes = roster.apply(report, order, 0.0)
        assert changes is not None, "nothing was missed"
        page.apply(changes)
        assert shown_by(roster) == page.shown() == writers.truth()
        assert set(roster.workers) == {name for name, mine in writers.users.items() if mine}


@UNHURRIED
@given(CLAIMS, st.sets(st.integers(1, 60)))
def test_whoever_misses_reports_notices_and_is_right_again_after_whole_ones(
    claims: list[Claim], missed: set[int]
) -> None:
    writers, roster, page, order = Writers(), Roster(), Page(), 0
    for order, (worker, room, user, state) in enumerate(claims, 1):
        report = writers.say(worker, room, user, state, order)
        if order not in missed:
            page.apply(roster.apply(report, order, 0.0) or [])
    for worker in WORKERS:
        page.apply(roster.apply(writers.whole(worker), order + 1, 0.0) or [])
    assert shown_by(roster) == page.shown() == writers.truth()


@UNHURRIED
@given(CLAIMS, st.sampled_from(WORKERS))
def test_the_end_of_a_worker_counts_only_if_it_was_not_heard_meanwhile(claims: list[Claim], dead: str) -> None:
    writers, roster, page = Writers(), Roster(), Page()
    for order, claim in enumerate(claims, 1):
        page.apply(roster.apply(writers.say(*claim, order), order, 0.0) or [])
    before = shown_by(roster)
    page.apply(roster.apply(Report("ended", "w", workers={dead: writers.numbers[dead] - 1}), 99, 0.0) or [])
    assert shown_by(roster) == before
    page.apply(roster.apply(Report("ended", "w", workers={dead: writers.numbers[dead]}), 99, 0.0) or [])
    writers.users[dead] = {}
    assert shown_by(roster) == page.shown() == writers.truth()


def test_a_user_leaves_some_seconds_after_the_last_client_and_not_before() -> None:
    attendance = Attendance(5.0)
    attendance.enter("a", "ann", {"n": 1}, Entry(None, 1.0, UNSAID))
    attendance.enter("a", "ann", None, Entry(None, 2.0, UNSAID))
    assert attendance.take_changes(0.0, 1000) == [{"a": {"ann": Entry({"n": 1}, 1.0)}}]
    attendance.leave("a", "ann", 10.0)
    assert attendance.take_changes(100.0, 1000) == []
    attendance.leave("a", "ann", 100.0)
    assert attendance.next_leave_at == 105.0
    assert attendance.take_changes(104.9, 1000) == []
    attendance.enter("a", "ann", None, Entry(None, 3.0, UNSAID))
    assert attendance.take_changes(200.0, 1000) == [], "who came back was never gone"
    attendance.leave("a", "ann", 200.0)
    assert attendance.take_changes(205.0, 1000) == [{"a": {"ann": None}}]
    assert len(attendance) == 0


def test_many_users_are_told_in_parts_of_some_bytes() -> None:
    attendance = Attendance(5.0)
    for n in range(100):
        attendance.enter("a", f"user-{n}", "x" * 900, Entry(None, 0.0, UNSAID))
    parts = attendance.take_changes(0.0, 10_000)
    assert sum(len(part["a"]) for part in parts) == 100
    assert all(len(Report("change", "w", 1, part).payload) < 11_000 for part in parts)
    assert attendance.take_changes(0.0, 10_000) == []
    (told,) = attendance.whole(1_000_000)
    for user, entry in told["a"].items():
        assert entry is not None
        read = entry._replace(order=7)
        attendance.take_over("a", user, 7, read, read)
    attendance.set_state("a", "user-3", "new")
    (whole,) = attendance.whole(1_000_000)
    assert whole["a"]["user-3"] == Entry("new", 0.0, 0), "what others don't know yet is as new as this report"
    assert whole["a"]["user-4"] == Entry("x" * 900, 0.0, 7)
    assert attendance.whole(1_000_000) == attendance.whole(1_000_000)


def test_what_could_not_be_told_is_told_again() -> None:
    attendance = Attendance(0.0)
    attendance.enter("a", "ann", None, Entry(None, 0.0, UNSAID))
    attendance.enter("a", "bob", None, Entry(None, 0.0, UNSAID))
    attendance.leave("a", "bob", 0.0)
    (told,) = attendance.take_changes(1.0, 1000)
    attendance.put_back(told)
    assert attendance.take_changes(1.0, 1000) == [told]


def test_a_state_that_python_takes_for_the_same_is_another_one() -> None:
    attendance = Attendance(0.0)
    attendance.enter("a", "ann", {"n": 1}, Entry(None, 0.0, UNSAID))
    attendance.take_changes(0.0, 1000)
    attendance.set_state("a", "ann", {"n": 1})
    assert not attendance.has_changes
    attendance.set_state("a", "ann", {"n": True})
    assert attendance.take_changes(0.0, 1000) == [{"a": {"ann": Entry({"n": True}, 0.0)}}]
    attendance.set_state("a", "ann", None)
    assert attendance.take_changes(0.0, 1000) == [{"a": {"ann": Entry(None, 0.0)}}]
    roster = Roster()
    roster.apply(Report("whole", "w", 1, {"a": {"ann": Entry(0, 1.0)}}), 1, 0.0)
    (change,) = roster.apply(Report("change", "w", 2, {"a": {"ann": Entry(False, 1.0)}}), 2, 0.0) or []
    assert change.updated[0].state is False


def test_who_says_nothing_changes_no_state_and_another_log_begins_anew() -> None:
    roster = Roster()
    roster.apply(Report("whole", "w1", 1, {"a": {"ann": Entry("old", 1.0)}}), 50, 0.0)
    assert roster.apply(Report("whole", "w2", 1, {"a": {"ann": Entry(None, 2.0, UNSAID)}}), 60, 0.0) == []
    assert roster.members("a")[0].state == "old"
    roster.forget_orders()
    (change,) = roster.apply(Report("change", "w2", 2, {"a": {"ann": Entry("new", 2.0)}}), 3, 0.0) or []
    assert [member.state for member in change.updated] == ["new"]


def test_an_order_of_another_log_is_older_than_all_of_this_one() -> None:
    roster = Roster()
    roster.apply(Report("whole", "w1", 1, {"a": {"ann": Entry("old", 1.0, 1_000)}}), 1, 0.0)
    assert roster.newest("a", "ann") == Entry("old", 1.0, SAID_BEFORE)
    (change,) = roster.apply(Report("whole", "w2", 1, {"a": {"ann": Entry("new", 2.0)}}), 2, 0.0) or []
    assert [member.state for member in change.updated] == ["new"]


class Act(NamedTuple):
    """What happens in a worker.

    Attributes:
        kind: `come` and `go` are a client's; `say` is `set_state`.
        worker: in several workers; it is the same one if there is only one.
        state: None says nothing if a client comes, and takes the state away in `say`.
    """

    kind: str
    worker: int
    user: str
    state: int | None


ACTS = st.lists(
    st.builds(
        Act,
        st.sampled_from(["come", "come", "go", "say"]),
        st.integers(0, 2),
        st.sampled_from(["ann", "bob"]),
        st.none() | st.integers(0, 2),
    ),
    max_size=25,
)


class Services:
    """Services of as many processes over one log. Their clock is ahead, so that what is due some time is due now.

    Attributes:
        clients: worker and user → how many clients the user has there.
    """

    def __init__(self, hub: Hub, count: int) -> None:
        self.all = [RoomService(hub) for _ in range(count)]
        self.log: list[Message] = []
        self._read = [0] * count
        self.clients: dict[tuple[int, str], int] = defaultdict(int)
        self._now = time.monotonic()

    def do(self, act: Act) -> None:
        place = act.worker % len(self.all), act.user
        service = self.all[place[0]]
        if act.kind == "come":
            self.clients[place] += 1
            service.enter("a", act.user, act.state)
        elif self.clients[place] and act.kind == "say":
            service.set_state("a", act.user, act.state)
        elif self.clients[place]:
            self.clients[place] -= 1
            service.leave("a", act.user)

    def write(self, worker: int) -> bool:
        """Report what is due; returns whether that was something."""
        self._now += 1_000
        reports, _ = self.all[worker]._due(self._now)
        for report in reports:
            self.log.append(Message(PRESENCE, None, report.payload, Position("epoch", len(self.log) + 1)))
        return bool(reports)

    def read(self, worker: int, count: int = 1_000) -> None:
        for message in self.log[self._read[worker] :][:count]:
            self.all[worker].hear(message)
            self._read[worker] += 1

    def settle(self) -> None:
        """Write and read until nobody has anything to say."""
        for _ in range(10):
            for worker in range(len(self.all)):
                self.read(worker)
            wrote = [self.write(worker) for worker in range(len(self.all))]
            if not any(wrote):
                return
        raise AssertionError("they go on and on", self.log[-10:])

    def shown(self) -> list[dict[str, Any]]:
        """User → state, as each of them knows it."""
        return [{member.user_id: member.state for member in service.members("a")} for service in self.all]


@WITH_HUB
@given(acts=ACTS)
def test_a_users_state_does_not_depend_on_which_worker_a_tab_is_in(hub: Hub, acts: list[Act]) -> None:
    one, several = Services(hub, 1), Services(hub, 3)
    tabs: dict[str, list[int]] = defaultdict(list)
    for kind, where, user, state in acts:
        if kind == "come":
            tabs[user].append(where)
        elif not tabs[user]:
            continue
        else:  # it is one of that user's tabs
            where = tabs[user][where % len(tabs[user])]
            if kind == "go":
                tabs[user].remove(where)
        for services in (one, several):
            services.do(Act(kind, where, user, state))
            if kind != "go" or tabs[user]:  # else the user may come elsewhere before the others hear of it
                services.settle()
                assert services.shown() == one.shown() * len(services.all)


@WITH_HUB
@given(
    rounds=st.lists(
        st.tuples(ACTS.map(lambda acts: acts[:3]), *[st.integers(0, 2)] * 2, st.integers(0, 3)), max_size=25
    )
)
def test_whenever_workers_write_and_read_they_agree_at_last_and_what_was_said_stays_until_the_last_tab_goes(
    hub: Hub, rounds: list[tuple[list[Act], int, int, int]]
) -> None:
    services = Services(hub, 3)
    for acts, writer, reader, count in rounds:
        for act in acts:
            services.do(act)
        services.write(writer)
        services.read(reader, count)
    services.settle()
    settled = services.shown()
    assert settled == settled[:1] * 3
    for service in services.all:
        service.lose()
    services.settle()
    assert services.shown() == settled, "whole reports say the same"
    for worker in range(3):
        for user in settled[0]:
            while services.clients[worker, user]:
                services.do(Act("go", worker, user, None))
        services.settle()
        there = {user for (_, user), count in services.clients.items() if count}
        assert services.shown() == [{user: settled[0][user] for user in settled[0] if user in there}] * 3


@pytest.mark.timed
def test_a_process_that_was_frozen_itself_does_not_take_others_for_dead_that_it_could_not_hear(
    hub_with: Callable[..., Hub], tmp_path: Path
) -> None:
    hub = hub_with(broker_url=f"sqlite:///{tmp_path}/events.db", presence_lease_seconds=9)
    hub.opened.result(10)
    service = RoomService(hub)
    service.known.set_result(None)
    whole = Report("whole", "another", 1, {"a": {"ann": Entry(None, 1.0, UNSAID)}})
    service.hear(Message(PRESENCE, None, whole.payload, Position("epoch", 1)))

    def ends_at(seconds: int) -> bool:
        reports, _ = service._due(heard_at + seconds)
        return any(report.kind == "ended" for report in reports)

    heard_at = time.monotonic()
    assert not ends_at(0)
    _, seconds = service._due(heard_at)
    assert seconds is not None
    assert seconds < 4, "it looks in time for the next beat, so that it notices"
    assert not ends_at(60), "the other one may have been frozen, too"
    assert 3 <= next(n for n in range(60) if ends_at(60 + n)) <= 9, "and has time to be heard"


def test_while_nothing_may_be_reported_nothing_is_looked_for(hub_with: Callable[..., Hub]) -> None:
    service = RoomService(hub_with(presence_max_members=1, presence_leave_seconds=0))
    for user in ("ann", "bob", "eve"):
        service.enter("a", user, None)

    def write(seconds: float) -> tuple[list[Report], float | None]:
        reports, wait_seconds = service._due(began_at + seconds)
        for report in reports:
            position = Position("epoch", report.number)
            service.hear(Message(PRESENCE, None, report.payload, position))
        return reports, wait_seconds

    began_at = time.monotonic()
    write(0)
    service.leave("a", "ann")
    reports, _ = write(1_000)
    assert reports == [Report("change", service._id, 2, {"a": {"ann": None}})]
    service.leave("a", "bob")
    reports, wait_seconds = write(1_000.01)
    assert reports == []
    assert wait_seconds == pytest.approx(0.99), "until the next report of a crowd"
    reports, _ = write(1_001.01)
    assert reports == [Report("change", service._id, 3, {"a": {"bob": None}})]


def test_those_who_came_first_are_first_whoever_is_reported_first() -> None:
    roster = Roster()
    users = {"late": Entry(None, 9.0), "early": Entry(None, 1.0)}
    roster.apply(Report("whole", "w", 1, {"a": dict(users)}), 1, 0.0)
    assert [member.user_id for member in roster.members("a")] == ["early", "late"]
    assert roster.rooms["a"].payload(10).index(b"early") < roster.rooms["a"].payload(10).index(b"late")


def test_what_others_write_into_the_log_is_not_taken_for_a_report() -> None:
    for payload in (
        b"",
        b"{}",
        b'["change"]',
        b'["come","w",1,{},{}]',
        b'["change","w",1,{"a":[]},{}]',
        b"[1]",
        b"null",
    ):
        assert Report.parse(payload) is None, payload
