"""Redis: one that keeps what it acknowledged, one that forgets, two behind Sentinel, and two behind one address."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nitro.testing.conformance import eventually
from nitro.testing.nemesis import Fault
from tests.brokers import Redis
from tests.nemesis.setup import LONG, SOON, SetUp, Single, at_once, foreign_hands, holding, lasting, server_faults
from tests.services import Proxy, RedisServer, Sentinel

__all__ = ["Durable", "Forgetful", "SentinelPair", "VirtualAddress"]

FAIL_OVER_SECONDS = 30.0
QUIET_SECONDS = 1.5
"""Longer than Sentinel takes to think that a master is down."""


class Durable(Single[Redis]):
    """It writes what it acknowledges to the disk first."""

    kind = "redis"
    is_durable = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, Redis(directory, is_durable=self.is_durable))

    def faults(self) -> list[Fault]:
        server = self.broker.server
        return [
            *server_faults("redis", server, may_lose=not self.is_durable),
            *foreign_hands(self.broker, self.namespace),
            at_once("hash-of-the-log-deleted", lambda _: self.broker.damage(self.namespace), may_lose=True),
            at_once("everything-flushed", lambda _: server.run("FLUSHALL"), may_lose=True),
            at_once("scripts-flushed", lambda _: server.run("SCRIPT", "FLUSH")),
            at_once("log-rewritten", lambda _: server.run("BGREWRITEAOF")),
            at_once("connections-ended", lambda rng: several_times(rng, self.broker.cut)),
            at_once("writes-paused", lambda _: pause(server, "WRITE")),
            at_once("all-paused", lambda _: pause(server, "ALL")),
            *memory_faults(server),
        ]


class Forgetful(Durable):
    """Whatever was acknowledged may be gone with its process."""

    kind = "redis-forgetful"
    is_durable = False


class Pair(SetUp):
    """Two servers, of which one follows the other; which one does, changes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.servers = [RedisServer(directory / "first"), RedisServer(directory / "second")]
        for server in self.servers:
            server.options = (*server.options, "--repl-diskless-sync-delay", "0")

    def start(self) -> None:
        for server in self.servers:
            self.stack.enter_context(server)
        follow(self.servers[1], self.servers[0])
        eventually(lambda: is_followed(self.servers[0]), "the replica follows")

    def cut(self) -> None:
        for server in self.servers:
            server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


class SentinelPair(Pair):
    """Sentinel says which one is the master, and what it says takes a while to be known."""

    kind = "redis-sentinel"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.sentinel = Sentinel(directory / "sentinel", self.servers[0])

    @property
    def url(self) -> str:
        return self.sentinel.url

    def start(self) -> None:
        super().start()
        self.stack.enter_context(self.sentinel)
        eventually(lambda: b"slaves=1" in self.sentinel.run("INFO", "sentinel"), "Sentinel knows the replica", 30)

    def master(self) -> RedisServer:
        port = self.sentinel.master_port()
        return next(server for server in self.servers if server.port == port)

    def _wait_until_healed(self) -> None:
        """Sentinel has its replica again, and thinks of no other master: none acknowledges what will be lost."""
        since = time.monotonic()

        def is_quiet() -> bool:
            nonlocal since
            said = self.sentinel.run("SENTINEL", "MASTER", "mine").split(b"\r\n")
            if said[said.index(b"flags") + 2] != b"master" or not is_followed(self.master()):
                since = time.monotonic()
            return time.monotonic() > since + QUIET_SECONDS

        eventually(is_quiet, "a replica follows the master", FAIL_OVER_SECONDS)

    def faults(self) -> list[Fault]:
        behind = self._killed_with_a_replica_behind
        return [
            holding("master-kill", self._killed, may_lose=True, holds=(0.0, 4.0)),
            holding("master-kill-with-a-replica-behind", behind, may_lose=True, holds=(4.0,)),
            holding("master-freeze", self._frozen, may_lose=True, holds=(0.5, 3.0, 5.0)),
            at_once("fail-over", lambda _: self._fail_over(), may_lose=True),
            lasting("sentinel-kill", lambda: self.sentinel.end(signal.SIGKILL), self.sentinel.start),
            at_once("connections-ended", lambda rng: several_times(rng, self.cut)),
        ]

    @contextlib.contextmanager
    def _killed(self) -> Iterator[None]:
        master = self.master()
        master.end(signal.SIGKILL)
        yield
        master.start()
        self._wait_until_healed()

    @contextlib.contextmanager
    def _killed_with_a_replica_behind(self) -> Iterator[None]:
        master = self.master()
        (replica,) = (server for server in self.servers if server is not master)
        replica.freeze()
        time.sleep(0.5)
        master.end(signal.SIGKILL)
        replica.thaw()
        yield
        master.start()
        self._wait_until_healed()

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        master = self.master()
        master.freeze()
        yield
        master.thaw()
        self._wait_until_healed()

    def _fail_over(self) -> None:
        before = self.master()
        self.sentinel.run("SENTINEL", "FAILOVER", "mine")
        eventually(lambda: self.master() is not before, "another one is the master", FAIL_OVER_SECONDS)
        self._wait_until_healed()


class VirtualAddress(Pair):
    """One address, behind which now the one and now the other answers."""

    kind = "redis-virtual-address"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.address = Proxy(self.servers[0].port)
        self.master = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.address.port}"

    def start(self) -> None:
        super().start()
        self.stack.enter_context(self.address)

    def faults(self) -> list[Fault]:
        ready = self._wait_until_healthy
        return [
            holding("address-moved-from-a-dead-one", self._moved, may_lose=True, holds=SOON, get_ready=ready),
            at_once("address-moved", lambda _: self._move(), may_lose=True, get_ready=ready),
            holding("master-kill", self._killed, may_lose=True, holds=SOON, get_ready=ready),
            holding("master-freeze", self._frozen, holds=LONG),
            at_once("connections-ended", lambda rng: several_times(rng, self.cut)),
        ]

    def _wait_until_healthy(self) -> None:
        eventually(lambda: is_followed(self.servers[self.master]), "the replica follows", FAIL_OVER_SECONDS)

    def _move(self) -> None:
        old, new = self.servers[self.master], self.servers[1 - self.master]
        new.run("REPLICAOF", "NO", "ONE")
        self._lead_to(1 - self.master)
        follow(old, new)

    @contextlib.contextmanager
    def _moved(self) -> Iterator[None]:
        old, new = self.servers[self.master], self.servers[1 - self.master]
        old.end(signal.SIGKILL)
        new.run("REPLICAOF", "NO", "ONE")
        self._lead_to(1 - self.master)
        yield
        old.start()
        follow(old, new)

    @contextlib.contextmanager
    def _killed(self) -> Iterator[None]:
        self.servers[self.master].end(signal.SIGKILL)
        yield
        self.servers[self.master].start()

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        self.servers[self.master].freeze()
        yield
        self.servers[self.master].thaw()

    def _lead_to(self, place: int) -> None:
        self.master = place
        self.address.switch(self.servers[place].port)
        time.sleep(0.2)  # every line to the old one is cut by then


def follow(replica: RedisServer, master: RedisServer) -> None:
    replica.run("REPLICAOF", "127.0.0.1", str(master.port))


def is_followed(server: RedisServer) -> bool:
    with contextlib.suppress(OSError):
        said = server.run("INFO", "replication")
        return b"role:master" in said and b"state=online" in said
    return False


def several_times(rng: random.Random, act: Callable[[], object]) -> None:
    for _ in range(rng.choice((1, 5))):
        act()
        time.sleep(0.2)


def pause(server: RedisServer, what: str) -> None:
    server.run("CLIENT", "PAUSE", "5500", what)
    time.sleep(5.5)


def memory_faults(server: RedisServer) -> list[Fault]:
    def limit(policy: str) -> None:
        server.run("CONFIG", "SET", "maxmemory-policy", policy)
        server.run("CONFIG", "SET", "maxmemory", "1mb")

    def lift() -> None:
        server.run("CONFIG", "SET", "maxmemory", "0")

    return [
        lasting("memory-is-full", lambda: limit("noeviction"), lift, holds=(3.0,)),
        lasting("memory-is-full-and-keys-go", lambda: limit("allkeys-lru"), lift, may_lose=True, holds=(3.0,)),
    ]
