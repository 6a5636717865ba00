"""Presence of users with two tabs each, over three workers that are killed, frozen, cut off and told the wrong time.

`NITRO_TEST_USERS=1000 NITRO_TEST_ROUNDS=3 pytest tests/test_rooms_in_trouble.py` is the same with a crowd.
"""

from __future__ import annotations

import os
import random
import selectors
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.brokers import BROKERS, Broker
from tests.room_reading import RoomReading
from tests.servers import Server
from tests.services import Proxy
from tests.workers import Workers

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
USERS = int(os.environ.get("NITRO_TEST_USERS", "60"))
ROUNDS = int(os.environ.get("NITRO_TEST_ROUNDS", "1"))
IN_A_ROOM = 50
ROOMS = [f"r{n}" for n in range(-(-USERS // IN_A_ROOM))]
LEAVE_SECONDS = 2.0 if USERS < 200 else 3.0  # more tabs take longer to come back
LEASE_SECONDS = 2.0 if USERS < 200 else 10.0
TROUBLES = ["killed", "cut off", "at another time", "frozen"]


class TroubledWorkers(Workers):
    """Three servers over one log; each has a way to it, and a clock, of its own."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self.clocks = [directory / f"clock-{place}" for place in range(3)]
        self._broker = broker
        self._open = ExitStack()
        self.proxies = [] if broker.server is None else [self._open.enter_context(Proxy(broker.port)) for _ in range(3)]
        for clock in self.clocks:
            clock.write_text("+0")
        environment = {
            "NITRO_PRESENCE_LEAVE_SECONDS": str(LEAVE_SECONDS),
            "NITRO_PRESENCE_LEASE_SECONDS": str(LEASE_SECONDS),
            "NITRO_PRESENCE_MAX_MEMBERS": str(2 * IN_A_ROOM),
            "NITRO_MAX_CLIENTS": str(8 * USERS + 100),
            "NITRO_MAX_CLIENTS_PER_ADDRESS": str(8 * USERS + 100),
            "NITRO_MAX_CONNECTS_PER_SECOND": "100000",
            "ROOMS": ",".join(ROOMS),
        }
        super().__init__("tests.apps.rooms:app", environment, 3)

    def own_environment(self, place: int) -> Mapping[str, str]:
        url = self._broker.url_through(self.proxies[place].port) if self.proxies else self._broker.url
        return {
            "NITRO_BROKER_URL": url,
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.clocks[place]),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def __exit__(self, *_: object) -> None:
        with self._open:
            super().__exit__()


class Tabs:
    """The tabs that are open, each of a user who is in one room and watches it."""

    def __init__(self, workers: TroubledWorkers, chance: random.Random) -> None:
        self.workers = workers
        self.chance = chance
        self.came_back = 0
        self.open: dict[str, list[tuple[Server, RoomReading]]] = {}
        self._ready = selectors.DefaultSelector()

    def room_of(self, user: str) -> str:
        return ROOMS[int(user.removeprefix("u")) % len(ROOMS)]

    def come(self, user: str, server: Server | None = None) -> None:
        """One more tab of a user's."""
        server = server or self.chance.choice(self.workers.servers)
        room = self.room_of(user)
        page = RoomReading(server.port, user, room=room, watch=room, state=user)
        self._ready.register(page.socket, selectors.EVENT_READ, page)
        self.open.setdefault(user, []).append((server, page))

    def go(self, user: str, place: int = 0) -> None:
        """A tab is closed, or its process crashes."""
        _, page = self.open[user].pop(place)
        self._ready.unregister(page.socket)
        self.chance.choice([page.close, page.vanish])()
        if not self.open[user]:
            del self.open[user]

    def reload(self, user: str) -> None:
        """One of a user's tabs comes back, wherever."""
        self.go(user, self.chance.randrange(len(self.open[user])))
        self.come(user)

    def lose(self, server: Server) -> None:
        """A server is gone, and its tabs with it."""
        for user in list(self.open):
            for place in reversed(range(len(self.open.get(user, [])))):
                if self.open[user][place][0] is server:
                    self.go(user, place)

    def names(self, room: str) -> set[str]:
        return {user for user in self.open if self.room_of(user) == room}

    def pages(self) -> Iterator[tuple[str, RoomReading]]:
        for user, tabs in self.open.items():
            for _, page in tabs:
                yield user, page

    def read(self, seconds: float = 0.1) -> None:
        for key, _ in self._ready.select(seconds):
            try:
                key.data.read(0)
            except ConnectionError:
                self._come_back(key.data)

    def _come_back(self, lost: RoomReading) -> None:
        """As a browser does whose stream was ended."""
        [(user, place)] = [
            (user, place) for user, tabs in self.open.items() for place, (_, page) in enumerate(tabs) if page is lost
        ]
        server, _ = self.open[user][place]
        self.go(user, place)
        self.come(user, server)
        self.came_back += 1

    def settle(self, seconds: float, without: Server | None = None) -> None:
        """Wait until all pages and all workers have the true list; but for one that is gone."""
        deadline = time.monotonic() + seconds
        truth = {room: self.names(room) for room in ROOMS}
        while wrong := [
            (user, page.names(room) ^ truth[room] if page.names(room) is not None else None)  # type: ignore[operator]
            for user, page in self.pages()
            if page.names(room := self.room_of(user)) != truth[room]
        ]:
            assert time.monotonic() < deadline, f"{len(wrong)} pages are wrong: {wrong[:5]}"
            self.read()
        for server in [server for server in self.workers.servers if server is not without]:
            while (known := self.known_by(server)) != truth:
                assert time.monotonic() < deadline, {room: known[room] ^ truth[room] for room in ROOMS}
                self.read()

    def known_by(self, server: Server) -> dict[str, set[str]]:
        return {
            room: {
                member["user_id"]
                for member in httpx.get(f"{server.url}/members/{room}", timeout=20, verify=False).json()
            }
            for room in ROOMS
        }

    def close(self) -> None:
        for user in list(self.open):
            while user in self.open:
                self.go(user)


@pytest.fixture(params=["redis", "sqlite"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TroubledWorkers]:
    if not FAKETIME.exists():
        pytest.skip("LOUD: no libfaketime, so no clock jumps; apt install faketime")
    with BROKERS[request.param](tmp_path) as broker, TroubledWorkers(tmp_path, broker) as started:
        yield started


def test_whatever_happens_to_workers_all_pages_have_the_true_list_in_the_quiet(workers: TroubledWorkers) -> None:
    chance = random.Random(os.environ.get("NITRO_TEST_SEED", "trouble"))
    tabs = Tabs(workers, chance)
    users = [f"u{n}" for n in range(USERS)]
    for user in users:
        for server in chance.choices(workers.servers, k=2):  # which may be the same one
            tabs.come(user, server)
    tabs.settle(20 + USERS / 20)
    for trouble in TROUBLES * ROUNDS:
        reloads_are_silent(tabs)
        place = chance.randrange(3)
        if trouble == "killed":
            killed_members_go_in_one_message(tabs, place)
        elif trouble == "cut off":
            if not workers.proxies:
                continue  # a file is always there
            workers.proxies[place].stall()
            moves(tabs, users, until=time.monotonic() + LEASE_SECONDS + 2)
            workers.proxies[place].go_on()
        elif trouble == "at another time":
            time_is = chance.choice(["+3600s", "-3600s", "+86400s"])
            for clock in (
                workers.clocks[place : place + 1] if workers.proxies else workers.clocks
            ):  # one host has one clock
                set_clock(clock, time_is)
            moves(tabs, users, until=time.monotonic() + 1)
        else:
            os.kill(workers.servers[place].process.pid, signal.SIGSTOP)
            others = [server for server in workers.servers if server is not workers.servers[place]]
            moves(tabs, users, until=time.monotonic() + LEASE_SECONDS + 2, servers=others)
            os.kill(workers.servers[place].process.pid, signal.SIGCONT)
        tabs.settle(20 + USERS / 20)
    if workers.proxies:
        assert tabs.came_back == 0, (
            "a stream was ended; by SQLite they are where its log is trimmed by a clock that jumped"
        )
    tabs.close()


def set_clock(clock: Path, time_is: str) -> None:
    """In one step: a process that reads an empty file is ended by libfaketime 0.9.12."""
    new = clock.with_suffix(".new")
    new.write_text(time_is)
    new.replace(clock)


def reloads_are_silent(tabs: Tabs) -> None:
    """A tenth of the users reload a tab, and no page that stays hears of anybody who comes or goes."""
    pages = [(page, len(page.told)) for _, page in tabs.pages()]
    reloaded = tabs.chance.sample(sorted(tabs.open), len(tabs.open) // 10)
    for user in reloaded:
        tabs.reload(user)
    until = time.monotonic() + LEAVE_SECONDS + LEASE_SECONDS / 3 + 0.5
    while time.monotonic() < until:
        tabs.read()
    stayed = {page for _, page in tabs.pages()}
    told = [news for page, count in pages if page in stayed for news in page.told[count:] if "members" not in news]
    assert told == []


def killed_members_go_in_one_message(tabs: Tabs, place: int) -> None:
    """Those who were only there go at once, in each room, in time; those who were elsewhere, too, stay."""
    server = tabs.workers.servers[place]
    before = {room: tabs.names(room) for room in ROOMS}
    pages = [(page, len(page.told), user) for user, page in tabs.pages()]
    server.end(signal.SIGKILL)
    killed_at = time.monotonic()
    tabs.lose(server)
    stayed = {page for _, page in tabs.pages()}
    gone = {room: before[room] - tabs.names(room) for room in ROOMS}
    tabs.settle(LEASE_SECONDS + 2, without=server)
    assert time.monotonic() - killed_at < LEASE_SECONDS + 2
    for page, count, user in pages:
        if page in stayed:
            told = [set(news["left"]) for news in page.told[count:] if "left" in news]
            room = tabs.room_of(user)
            assert told == ([gone[room]] if gone[room] else []), (room, gone[room], page.told[count:])
    tabs.workers.replace(place)


def moves(tabs: Tabs, users: list[str], until: float, servers: list[Server] | None = None) -> None:
    """Users come, go, and reload tabs, at all times."""
    chance = tabs.chance
    while time.monotonic() < until:
        user = chance.choice(users)
        server = chance.choice(servers or tabs.workers.servers)
        if user not in tabs.open:
            tabs.come(user, server)
            tabs.come(user, server)
        elif chance.random() < 0.5:
            while user in tabs.open:
                tabs.go(user)
        else:
            tabs.go(user)
            tabs.come(user, server)
        tabs.read(min(0.02, 2 / USERS))
