"""NATS: one server, and three with a log on each."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from nitro.testing.conformance import eventually
from nitro.testing.nemesis import Fault
from tests.nemesis.setup import LONG, SOON, SetUp, at_once, holding, lasting, server_faults
from tests.services import NatsServer, administer, nats_cluster

__all__ = ["One", "Three"]

_DROPPED_SECONDS = 0.5
"""Servers without a leader drop what they are asked, so it is asked again soon: else healing would seem to last."""

Work = Callable[[Client, JetStreamContext, str], Awaitable[object]]


class Nats(SetUp):
    """Servers of NATS, each of which syncs what it acknowledges."""

    servers: list[NatsServer]
    replicas = ""

    @property
    def url(self) -> str:
        return f"nats://{','.join(f'127.0.0.1:{server.port}' for server in self.servers)}{self.replicas}"

    def start(self) -> None:
        for server in self.servers:
            self.stack.enter_context(server)

    def administer(self, work: Work, answer_seconds: float = 5) -> object:
        """Do something with the stream of the log, over whichever server is there."""

        async def run(connection: Client) -> object:
            jetstream = connection.jetstream(timeout=answer_seconds)
            name = await jetstream.find_stream_name_by_subject(f"nitro.{self.namespace}.*")
            return await work(connection, jetstream, name)

        return administer([server.url for server in self.servers], run)

    def foreign_hands(self) -> list[Fault]:
        return [
            at_once("stream-deleted", lambda _: self.administer(delete), may_lose=True),
            at_once("stream-purged", lambda rng: self.administer(purge(rng.choice((0, 3, 50)))), may_lose=True),
            at_once("newest-messages-deleted", lambda _: self.administer(delete_newest), may_lose=True),
        ]


class One(Nats):
    kind = "nats"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.servers = [NatsServer(directory / "nats")]

    def faults(self) -> list[Fault]:
        duck = lasting("nats-lame-duck", self._send_away, self._start_again, holds=(2.0, 5.0))
        return [*server_faults("nats", self.servers[0]), *self.foreign_hands(), duck]

    def _send_away(self) -> None:
        """It ends after it has asked everybody to go elsewhere."""
        process = self.servers[0].process
        assert process is not None
        process.send_signal(signal.SIGUSR2)

    def _start_again(self) -> None:
        self.servers[0].end(signal.SIGKILL)
        self.servers[0].start()


class Three(Nats):
    kind = "nats-three"
    replicas = "?replicas=3"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.servers = nats_cluster(directory, 3)

    def start(self) -> None:
        super().start()
        eventually(self._is_ready, "the cluster has a leader", 30)

    def _is_ready(self) -> bool:
        with contextlib.suppress(nats.errors.Error, OSError):
            administer(
                [server.url for server in self.servers],
                lambda link: link.jetstream(timeout=_DROPPED_SECONDS).account_info(),
            )
            return True
        return False

    def faults(self) -> list[Fault]:
        def step_down(rng: random.Random) -> None:
            for _ in range(rng.choice((1, 3))):
                self.administer(lambda link, _, name: link.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{name}", b"", 5))
                time.sleep(0.7)

        return [
            *self.foreign_hands(),
            holding("leader-kill", lambda: self._killed(self.leader() or 0), holds=SOON),
            Fault("server-kill", lambda rng: self._killed(rng.randrange(3)), holds=SOON),
            Fault("server-freeze", lambda rng: self._frozen(rng.randrange(3)), holds=LONG),
            Fault("two-servers-kill", lambda rng: self._killed(*rng.sample(range(3), 2)), holds=SOON),
            holding("all-servers-kill", lambda: self._killed(0, 1, 2), holds=SOON),
            at_once("leader-steps-down", step_down),
            lasting("leader-freeze", self._freeze_leader, self._thaw_all, holds=LONG),
        ]

    def leader(self, answer_seconds: float = 5) -> int | None:
        async def ask(_: Client, jetstream: JetStreamContext, name: str) -> object:
            info = await jetstream.stream_info(name)
            return info.cluster.leader if info.cluster else None

        found = self.administer(ask, answer_seconds)
        return int(str(found).removeprefix("n")) if found else None

    @contextlib.contextmanager
    def _killed(self, *places: int) -> Iterator[None]:
        for place in places:
            self.servers[place].end(signal.SIGKILL)
        yield
        for place in places:
            self.servers[place].start()
        eventually(self._is_ready, "the cluster has a leader", 30)
        eventually(self._has_leader, "the stream has a leader", 30)

    def _has_leader(self) -> bool:
        """Nobody can write before: an election takes up to nine seconds."""
        try:
            return self.leader(_DROPPED_SECONDS) is not None
        except NotFoundError:
            return True
        except (nats.errors.Error, OSError):
            return False

    @contextlib.contextmanager
    def _frozen(self, place: int) -> Iterator[None]:
        self.servers[place].freeze()
        yield
        self.servers[place].thaw()

    def _freeze_leader(self) -> None:
        self.servers[self.leader() or 0].freeze()

    def _thaw_all(self) -> None:
        for server in self.servers:
            server.thaw()


async def delete(_: Client, jetstream: JetStreamContext, name: str) -> None:
    await jetstream.delete_stream(name)


async def delete_newest(_: Client, jetstream: JetStreamContext, name: str) -> None:
    newest = (await jetstream.stream_info(name)).state.last_seq
    for sequence in range(max(1, newest - 4), newest + 1):
        await jetstream.delete_msg(name, sequence)


def purge(keep: int) -> Work:
    async def work(_: Client, jetstream: JetStreamContext, name: str) -> None:
        await jetstream.purge_stream(name, keep=keep)

    return work
