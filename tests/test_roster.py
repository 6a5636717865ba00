"""The roster against a plain model: whatever workers report, and whichever reports somebody misses."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nitro.messages.presence import Entry, Report, RoomChange
from nitro.rooms.attendance import Attendance
from nitro.rooms.roster import Roster

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
    """Workers that report as the service does: a worker that had nobody begins with a whole report."""

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
    attendance.enter("a", "ann", {"n": 1}, 1.0)
    attendance.enter("a", "ann", None, 2.0)
    assert attendance.take_changes(0.0, 1000) == [{"a": {"ann": Entry({"n": 1}, 1.0)}}]
    attendance.leave("a", "ann", 10.0)
    assert attendance.take_changes(100.0, 1000) == []
    attendance.leave("a", "ann", 100.0)
    assert attendance.next_leave_at == 105.0
    assert attendance.take_changes(104.9, 1000) == []
    attendance.enter("a", "ann", None, 3.0)
    assert attendance.take_changes(200.0, 1000) == [], "who came back was never gone"
    attendance.leave("a", "ann", 200.0)
    assert attendance.take_changes(205.0, 1000) == [{"a": {"ann": None}}]
    assert len(attendance) == 0


def test_many_users_are_told_in_parts_of_some_bytes() -> None:
    attendance = Attendance(5.0)
    for n in range(100):
        attendance.enter("a", f"user-{n}", "x" * 900, 0.0)
    parts = attendance.take_changes(0.0, 10_000)
    assert sum(len(part["a"]) for part in parts) == 100
    assert all(len(Report("change", "w", 1, part).payload) < 11_000 for part in parts)
    assert attendance.take_changes(0.0, 10_000) == []
    (told,) = attendance.whole(1_000_000)
    attendance.was_told(told, 7)
    attendance.set_state("a", "user-3", "new")
    (whole,) = attendance.whole(1_000_000)
    assert whole["a"]["user-3"] == Entry("new", 0.0, 0), "what others don't know yet is as new as this report"
    assert whole["a"]["user-4"] == Entry("x" * 900, 0.0, 7)
    assert attendance.whole(1_000_000) == attendance.whole(1_000_000)


def test_what_could_not_be_told_is_told_again() -> None:
    attendance = Attendance(0.0)
    attendance.enter("a", "ann", None, 0.0)
    attendance.enter("a", "bob", None, 0.0)
    attendance.leave("a", "bob", 0.0)
    (told,) = attendance.take_changes(1.0, 1000)
    attendance.put_back(told)
    assert attendance.take_changes(1.0, 1000) == [told]


def test_a_state_that_python_takes_for_the_same_is_another_one() -> None:
    attendance = Attendance(0.0)
    attendance.enter("a", "ann", {"n": 1}, 0.0)
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
    assert roster.apply(Report("whole", "w2", 1, {"a": {"ann": Entry(None, 2.0)}}), 60, 0.0) == []
    assert roster.members("a")[0].state == "old"
    roster.forget_orders()
    (change,) = roster.apply(Report("change", "w2", 2, {"a": {"ann": Entry("new", 2.0)}}), 3, 0.0) or []
    assert [member.state for member in change.updated] == ["new"]


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
