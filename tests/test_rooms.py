"""Presence over real servers: each page and each process has the true list, whatever comes, goes, is killed or lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.brokers import BROKERS, STORES
from tests.room_reading import RoomReading
from tests.servers import Server, free_port, wait_for
from tests.workers import Workers

LEAVE_SECONDS = 0.6
LEASE_SECONDS = 2.0
SEVERAL = pytest.mark.parametrize("shared", STORES, indirect=True)
"""Needs another process, which has another memory."""


class RoomWorkers(Workers):
    """Servers over one log, and the pages that are open."""

    def __init__(self, count: int, **environment: str) -> None:
        quick = {"NITRO_PRESENCE_LEAVE_SECONDS": str(LEAVE_SECONDS), "NITRO_PRESENCE_LEASE_SECONDS": str(LEASE_SECONDS)}
        super().__init__("tests.apps.rooms:app", {**quick, "NITRO_PRESENCE_MAX_MEMBERS": "30", **environment}, count)
        self.pages: list[RoomReading] = []

    def open(self, server: Server, user: str, **named: Any) -> RoomReading:
        page = RoomReading(server.port, user, **named)
        self.pages.append(page)
        return page

    def names(self, room: str) -> list[set[str]]:
        """Who is in a room, as each of the servers knows it."""
        found = [httpx.get(f"{server.url}/members/{room}", timeout=20).json() for server in self.servers]
        return [{member["user_id"] for member in members} for members in found]

    def close_pages(self) -> None:
        for page in self.pages:
            page.close()
        self.pages = []

    def __exit__(self, *_: object) -> None:
        self.close_pages()
        super().__exit__()


@pytest.fixture(scope="module", params=["memory", *STORES])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoomWorkers]:
    if request.param == "memory":
        with RoomWorkers(1) as workers:
            yield workers
        return
    broker = BROKERS[request.param](tmp_path_factory.mktemp(request.param))
    with broker, RoomWorkers(2, NITRO_BROKER_URL=broker.url) as workers:
        yield workers


@pytest.fixture
def workers(shared: RoomWorkers) -> Iterator[RoomWorkers]:
    """Servers in whose rooms nobody is."""
    yield shared
    shared.close_pages()
    for room in ("a", "b", "hall"):
        wait_for(partial(_all_know, shared, room, set()), seconds=15)


def test_everybody_hears_who_comes_changes_and_goes_and_all_processes_agree(workers: RoomWorkers) -> None:
    one, other = workers.servers[0], workers.servers[-1]
    watcher = workers.open(other, "watcher", watch="a")
    watcher.until(lambda page: page.members == {"a": {}})
    ann = workers.open(one, "ann", room="a", state="Ann", watch="a")
    for page in (watcher, ann):
        page.until(lambda page: page.members.get("a") == {"ann": "Ann"})
    bob = workers.open(other, "bob", room="a,b", state="Bob", watch="a,b")
    for page in (watcher, ann, bob):
        page.until(lambda page: page.members.get("a") == {"ann": "Ann", "bob": "Bob"})
    bob.until(lambda page: page.members.get("b") == {"bob": "Bob"})
    httpx.post(f"{one.url}/state/ann?name=Anna").raise_for_status()
    for page in (watcher, ann, bob):
        page.until(lambda page: page.members.get("a") == {"ann": "Anna", "bob": "Bob"})
    assert workers.names("a") == [{"ann", "bob"}] * len(workers.servers)
    assert "b" not in watcher.members, "it doesn't watch that room"
    ann.vanish()
    for page in (watcher, bob):
        page.until(lambda page: page.members.get("a") == {"bob": "Bob"})
    assert workers.names("a") == [{"bob"}] * len(workers.servers)
    assert [sorted(news.keys() - {"room", "count"}) for news in watcher.told[-4:]] == [
        *(["joined"], ["joined"], ["updated"], ["left"])
    ]


def test_a_page_that_is_reloaded_elsewhere_and_a_second_tab_make_no_noise(workers: RoomWorkers) -> None:
    one, other = workers.servers[0], workers.servers[-1]
    watcher = workers.open(one, "watcher", watch="a")
    tab = workers.open(one, "ann", room="a", state="Ann")
    watcher.until(lambda page: page.members.get("a") == {"ann": "Ann"})
    told = len(watcher.told)
    for turn in range(5):
        tab.close()
        tab = workers.open((other, one)[turn % 2], "ann", room="a", state="Ann")
    second = workers.open(other, "ann", room="a")
    tab.close()
    time.sleep(LEAVE_SECONDS + 0.5)
    watcher.read()
    assert len(watcher.told) == told
    second.close()
    watcher.until(lambda page: page.members.get("a") == {})
    assert len(watcher.told) == told + 1


def test_the_newest_state_of_a_users_tabs_wins_and_a_tab_without_one_changes_nothing(workers: RoomWorkers) -> None:
    one, other = workers.servers[0], workers.servers[-1]
    watcher = workers.open(one, "watcher", watch="a")
    old = workers.open(one, "ann", room="a", state="old")
    watcher.until(lambda page: page.members.get("a") == {"ann": "old"})
    new = workers.open(other, "ann", room="a", state="new")
    watcher.until(lambda page: page.members.get("a") == {"ann": "new"})
    workers.open(one, "ann", room="a").read()
    old.close()
    time.sleep(LEAVE_SECONDS + 0.3)
    watcher.read()
    assert watcher.members.get("a") == {"ann": "new"}
    new.close()
    late = workers.open(other, "late", watch="a").until(lambda page: "a" in page.members)
    assert late.names("a") == {"ann"}


def _has_members(room: str, members: dict[str, str], page: RoomReading) -> bool:
    return page.members.get(room) == members


def test_a_state_that_a_process_told_before_another_one_did_is_told_again(workers: RoomWorkers) -> None:
    one, other = workers.servers[0], workers.servers[-1]
    watcher = workers.open(other, "watcher", watch="a")
    for server, state in ((one, "away"), (other, "active"), (one, "away"), (other, "active")):
        workers.open(server, "ann", room="a", state=state)
        watcher.until(partial(_has_members, "a", {"ann": state}))


def test_of_a_crowd_only_the_count_is_told_and_the_members_again_when_it_is_smaller(workers: RoomWorkers) -> None:
    one, other = workers.servers[0], workers.servers[-1]
    watcher = workers.open(other, "watcher", watch="hall")
    pages = [workers.open(one, f"user-{n}", room="hall") for n in range(40)]
    watcher.until(lambda page: page.counts.get("hall") == 40)
    assert watcher.names("hall") is None
    late = workers.open(one, "late", watch="hall").until(lambda page: "hall" in page.counts)
    assert late.told == [{"room": "hall", "count": 40}]
    for page in pages[20:]:
        page.close()
    expected = {f"user-{n}" for n in range(20)}
    for page in (watcher, late):
        page.until(lambda page: page.names("hall") == expected)


def test_who_may_see_a_room_is_a_right_of_its_own(workers: RoomWorkers) -> None:
    url = workers.servers[0].url
    refused = httpx.get(f"{url}/events?user=ann&topic=presence.secret")
    assert (refused.status_code, refused.json()["title"]) == (403, "Forbidden")
    assert httpx.get(f"{url}/events?user=ann&topic=presence.*").status_code == 422
    assert httpx.get(f"{url}/events?user=ann&topic=presence.of.bob").status_code == 403
    own = workers.open(workers.servers[0], "ann", room="of.ann", watch="of.ann")
    own.until(lambda page: page.names("of.ann") == {"ann"})


def test_who_comes_back_or_has_a_gap_gets_the_members_anew(workers: RoomWorkers) -> None:
    one, other = workers.servers[0], workers.servers[-1]
    page = workers.open(one, "watcher", watch="a", topic="note")
    workers.open(one, "ann", room="a", state="Ann")
    page.until(lambda page: page.members.get("a") == {"ann": "Ann"})
    httpx.post(f"{one.url}/note?text=first").raise_for_status()
    page.until(lambda page: page.others == ["first"])
    page.close()
    httpx.post(f"{one.url}/note?text=second").raise_for_status()
    bob = workers.open(other, "bob", room="a", state="Bob", watch="a")
    bob.until(lambda page: page.names("a") == {"ann", "bob"})
    again = workers.open(other, "watcher", watch="a", topic="note", after=page.last_id)
    again.until(lambda page: page.others == ["second"] and page.names("a") == {"ann", "bob"})
    assert again.gaps == []
    lost = workers.open(one, "watcher", watch="a", topic="note", after="nowhere-5.1")
    lost.until(lambda page: page.gaps and page.names("a") == {"ann", "bob"})


def test_a_page_that_is_too_slow_loses_changes_and_gets_the_members_anew(workers: RoomWorkers) -> None:
    one = workers.servers[0]
    slow = workers.open(one, "slow", watch="a", topic="note", overflow="drop_oldest", most=50)
    slow.until(lambda page: page.members == {"a": {}})
    for n in range(10):  # 20 MB, more than what the kernel takes
        httpx.post(f"{one.url}/note?text={'x' * 20_000}&count=100", timeout=30).raise_for_status()
        workers.open(one, f"user-{n}", room="a", watch="b")
    wait_for(lambda: all(len(names) == 10 for names in workers.names("a")))
    slow.until(lambda page: page.names("a") == {f"user-{n}" for n in range(10)}, seconds=30)
    assert slow.gaps


@SEVERAL
def test_the_list_of_a_process_that_begins_is_whole(workers: RoomWorkers) -> None:
    one, other = workers.servers
    pages = [workers.open(one, f"user-{n}", room="a", state=f"User-{n}") for n in range(25)]
    workers.open(one, "watcher", watch="a").until(lambda page: page.counts.get("a") == 25)
    other.end()
    new = workers.replace(1)
    first = workers.open(new, "first", watch="a").until(lambda page: "a" in page.members)
    assert first.told[0]["count"] == 25, "it isn't told before it is whole"
    assert first.names("a") == {page.user for page in pages}


@pytest.mark.timed
@SEVERAL
def test_a_killed_process_takes_its_members_along_in_one_message(workers: RoomWorkers) -> None:
    one, other = workers.servers
    watcher = workers.open(one, "watcher", watch="a,b")
    for n in range(20):
        workers.open(other, f"user-{n}", room="a" if n % 2 else "a,b")
    stays = workers.open(one, "user-1", room="a")
    watcher.until(lambda page: page.counts.get("a") == 20 and page.counts.get("b") == 10)
    told = len(watcher.told)
    other.end(signal.SIGKILL)
    killed_at = time.monotonic()
    watcher.until(lambda page: page.names("a") == {"user-1"} and page.names("b") == set())
    assert time.monotonic() - killed_at < LEASE_SECONDS + 2
    assert len(watcher.told) == told + 2, "one for each room"
    workers.replace(1)
    stays.close()


@pytest.mark.timed
@SEVERAL
def test_a_process_that_stops_hands_its_members_on_in_silence(workers: RoomWorkers) -> None:
    one, other = workers.servers
    watcher = workers.open(one, "watcher", watch="a")
    stays, goes = (workers.open(other, user, room="a") for user in ("stays", "goes"))
    watcher.until(lambda page: page.names("a") == {"stays", "goes"})
    told = len(watcher.told)
    other.end()
    ended_at = time.monotonic()
    workers.open(one, "stays", room="a")
    watcher.until(lambda page: page.names("a") == {"stays"})
    assert time.monotonic() - ended_at < LEAVE_SECONDS + 0.6, "it said that it ends: nobody waits for its lease"
    assert len(watcher.told) == told + 1
    assert watcher.told[-1]["left"] == ["goes"]
    workers.replace(1)
    for page in (stays, goes):
        page.close()


@SEVERAL
def test_a_frozen_process_comes_back_with_its_members(workers: RoomWorkers) -> None:
    one, other = workers.servers
    watcher = workers.open(one, "watcher", watch="a")
    workers.open(other, "ann", room="a", state="Ann")
    watcher.until(lambda page: page.members.get("a") == {"ann": "Ann"})
    os.kill(other.process.pid, signal.SIGSTOP)
    try:
        watcher.until(lambda page: page.members.get("a") == {})
    finally:
        os.kill(other.process.pid, signal.SIGCONT)
    watcher.until(lambda page: page.members.get("a") == {"ann": "Ann"})
    assert workers.names("a") == [{"ann"}] * 2


def test_at_every_quiet_moment_all_pages_and_processes_have_the_true_list(workers: RoomWorkers) -> None:
    chance = random.Random(os.environ.get("NITRO_TEST_SEED", "rooms"))
    watchers = [workers.open(server, f"watcher-{n}", watch="a,b") for n, server in enumerate(workers.servers)]
    tabs: list[tuple[str, str, RoomReading]] = []
    for _ in range(4):
        for _ in range(40):
            if tabs and chance.random() < 0.45:
                _, _, page = tabs.pop(chance.randrange(len(tabs)))
                chance.choice([page.close, page.vanish])()
            else:
                user, room = f"user-{chance.randrange(15)}", chance.choice(["a", "b"])
                tabs.append((user, room, RoomReading(chance.choice(workers.servers).port, user, room=room)))
        for room in ("a", "b"):
            expected = {user for user, where, _ in tabs if where == room}
            wait_for(partial(_all_know, workers, room, expected))
            for watcher in watchers:
                watcher.until(partial(_shows, room=room, names=expected))
    for _, _, page in tabs:
        page.close()


def test_a_process_that_does_not_reach_its_broker_says_so_and_is_not_kept_waiting() -> None:
    code = "import asyncio, nitro; asyncio.run(nitro.presence.ready(timeout_seconds=0.3))"
    environment = {**os.environ, "NITRO_BROKER_URL": f"redis://127.0.0.1:{free_port()}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "BrokerUnavailable: who is present was not known within 0.3 s: " in done.stderr


def _all_know(workers: RoomWorkers, room: str, names: set[str]) -> bool:
    return workers.names(room) == [names] * len(workers.servers)


def _shows(page: RoomReading, room: str, names: set[str]) -> bool:
    return page.names(room) == names
