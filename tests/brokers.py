"""The brokers that tests run over, each with its real server, behind the same few verbs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from nitro.brokers.base import Extent, Log, Retention
from nitro.brokers.urls import make_log
from nitro.testing.conformance import RETENTION
from tests.services import NatsServer, PgBouncer, PostgresServer, Proxy, RedisServer, Service, administer


class Broker:
    """One kind of broker, its server started, and what an administrator or a fault does to it."""

    kind: ClassVar[str]

    def __init__(self, directory: Path, *, is_durable: bool = True) -> None:
        self.directory = directory
        self.is_durable = is_durable
        self.server: Service | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.port

    def url_through(self, port: int) -> str:
        """The URL by which it is reached through a proxy."""
        return self.url.replace(f":{self.port}", f":{port}")

    def log(self, namespace: str, retention: Retention = RETENTION, *, url: str | None = None) -> Log:
        return make_log(url or self.url, namespace, retention, max_payload_bytes=1 << 20)

    @staticmethod
    def namespace() -> str:
        return f"t-{secrets.token_hex(6)}"

    def start(self) -> None:
        assert self.server is not None
        self.server.start()

    def kill(self) -> None:
        assert self.server is not None
        self.server.end(signal.SIGKILL)

    def freeze(self) -> None:
        assert self.server is not None
        self.server.freeze()

    def thaw(self) -> None:
        assert self.server is not None
        self.server.thaw()

    def wipe(self, namespace: str) -> None:
        raise NotImplementedError

    def trim(self, namespace: str, up_to: int) -> None:
        raise NotImplementedError

    def save(self, namespace: str) -> Callable[[], object]:
        pytest.skip(f"{self.kind} ends its connections when {namespace} is put back with all the rest")

    def archive(self, namespace: str) -> Callable[[], object]:
        """What is on the server's disk; nobody is connected when it is put back."""
        assert self.server is not None
        directory, archived = self.server.directory, self.directory / f"archived-{namespace}"

        def copy(source: Path, target: Path) -> None:
            assert self.server is not None
            self.server.end()
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
            self.server.start()

        copy(directory, archived)
        return lambda: copy(archived, directory)

    def damage(self, namespace: str) -> None:
        pytest.skip(f"{self.kind} keeps nothing beside the log: {namespace} can't be damaged")

    def cut(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.server is not None:
            self.server.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.server is not None:
            self.server.discard()


class SQLite(Broker):
    kind = "sqlite"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory / 'events.db'}"

    def wipe(self, namespace: str) -> None:
        self._run(*(f"DELETE FROM {table} WHERE namespace = ?" for table in TABLES), namespace=namespace)

    def trim(self, namespace: str, up_to: int) -> None:
        self._run(f"DELETE FROM nitro_messages WHERE namespace = ? AND sequence <= {up_to}", namespace=namespace)

    def save(self, namespace: str) -> Callable[[], object]:
        path = self.directory / "events.db"
        saved = self.directory / f"saved-{namespace}.db"

        def copy(source: Path, target: Path) -> None:
            with (
                contextlib.closing(sqlite3.connect(source)) as one,
                contextlib.closing(sqlite3.connect(target)) as other,
            ):
                one.backup(other)

        copy(path, saved)
        return lambda: copy(saved, path)

    def archive(self, namespace: str) -> Callable[[], object]:
        return self.save(namespace)

    def damage(self, namespace: str) -> None:
        self._run("DELETE FROM nitro_logs WHERE namespace = ?", namespace=namespace)

    def cut(self) -> None:
        pytest.skip("a file has no connections that anybody could cut")

    @contextlib.contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Somebody else's connection to the file, in a transaction; closed at the end, as `with` alone doesn't."""
        connection = sqlite3.connect(self.directory / "events.db", timeout=10)
        with contextlib.closing(connection), connection:
            yield connection

    def _run(self, *statements: str, namespace: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement, (namespace,))


class Redis(Broker):
    kind = "redis"

    def __init__(self, directory: Path, *, is_durable: bool = True) -> None:
        super().__init__(directory, is_durable=is_durable)
        self.server: RedisServer = RedisServer(directory / "redis")
        if not is_durable:
            self.server.options = ("--appendonly", "no")

    def wipe(self, namespace: str) -> None:
        epoch = self._epoch(namespace)
        self.server.run("DEL", f"{{nitro:{namespace}}}", f"{{nitro:{namespace}}}:{epoch}")

    def trim(self, namespace: str, up_to: int) -> None:
        self.server.run("XTRIM", f"{{nitro:{namespace}}}:{self._epoch(namespace)}", "MINID", f"{up_to + 1}-0")

    def damage(self, namespace: str) -> None:
        self.server.run("DEL", f"{{nitro:{namespace}}}")

    def cut(self) -> None:
        self.server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _epoch(self, namespace: str) -> str:
        return self.server.run("HGET", f"{{nitro:{namespace}}}", "epoch").split(b"\r\n")[1].decode()


class Nats(Broker):
    kind = "nats"

    def __init__(self, directory: Path, *, is_durable: bool = True) -> None:
        super().__init__(directory, is_durable=is_durable)
        self.server: NatsServer = NatsServer(directory / "nats")
        self.server.is_syncing = is_durable
        self.proxy = Proxy(self.server.port)  # its server has no verb that ends connections

    @property
    def url(self) -> str:
        url = self.server.url.replace(f":{self.server.port}", f":{self.proxy.port}")
        return url if self.is_durable else f"{url}?storage=memory"

    @property
    def port(self) -> int:
        return self.proxy.port

    def wipe(self, namespace: str) -> None:
        async def delete(jetstream: JetStreamContext, name: str) -> None:
            await jetstream.delete_stream(name)

        self._administer(namespace, delete)

    def trim(self, namespace: str, up_to: int) -> None:
        async def purge(jetstream: JetStreamContext, name: str) -> None:
            await jetstream.purge_stream(name, seq=up_to + 1)

        self._administer(namespace, purge)

    def cut(self) -> None:
        self.proxy.cut()

    def _administer(self, namespace: str, work: Callable[[JetStreamContext, str], Awaitable[None]]) -> None:
        async def run(connection: Client) -> None:
            jetstream = connection.jetstream()
            await work(jetstream, await jetstream.find_stream_name_by_subject(f"nitro.{namespace}.*"))

        administer(self.server.url, run)

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        return super().__enter__()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(exc_type, exc, traceback)
        self.proxy.__exit__(exc_type, exc, traceback)


class Postgres(Broker):
    kind = "postgresql"

    def __init__(self, directory: Path, *, is_durable: bool = True) -> None:
        super().__init__(directory, is_durable=is_durable)
        self.server: PostgresServer = PostgresServer(directory / "postgres")

    def wipe(self, namespace: str) -> None:
        deletes = [f"DELETE FROM {table} WHERE namespace = '{namespace}'" for table in TABLES]
        self.server.run("; ".join(["BEGIN", *deletes, "COMMIT"]))

    def trim(self, namespace: str, up_to: int) -> None:
        self.server.run(f"DELETE FROM nitro_messages WHERE namespace = '{namespace}' AND sequence <= {up_to}")

    def save(self, namespace: str) -> Callable[[], object]:
        tables = {table: f"saved_{table}" for table in TABLES}
        for table, saved in tables.items():
            self.server.run(f"DROP TABLE IF EXISTS {saved}", f"CREATE TABLE {saved} AS SELECT * FROM {table}")
        work = [f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {saved}" for table, saved in tables.items()]
        return lambda: self.server.run("; ".join(["BEGIN", *work, "COMMIT"]))

    def archive(self, namespace: str) -> Callable[[], object]:
        return self.save(namespace)

    def damage(self, namespace: str) -> None:
        self.server.run(f"DELETE FROM nitro_logs WHERE namespace = '{namespace}'")

    def cut(self) -> None:
        self.server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nitro' "
            "AND pid <> pg_backend_pid()"
        )


class PooledPostgres(Postgres):
    """Reached through a pool that lends each transaction one of its sessions."""

    def __init__(self, directory: Path, *, is_durable: bool = True) -> None:
        super().__init__(directory, is_durable=is_durable)
        self.pool = PgBouncer(directory / "pool", self.server, mode="transaction", sessions=6)

    @property
    def url(self) -> str:
        return self.pool.url

    @property
    def port(self) -> int:
        return self.pool.port

    def __enter__(self) -> Self:
        super().__enter__()
        self.pool.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pool.end(signal.SIGKILL)
        super().__exit__(exc_type, exc, traceback)


TABLES = ("nitro_logs", "nitro_messages", "nitro_producers")
BROKERS: dict[str, type[Broker]] = {broker.kind: broker for broker in (SQLite, Redis, Nats, Postgres)}
STORES = list(BROKERS) if os.environ.get("NITRO_TEST_ALL_STORES") else ["sqlite", "redis"]
"""Over which brokers runs and durable streams are tested from end to end; `make test-stores` takes all of them."""
SERVERS = [kind for kind in BROKERS if kind != "sqlite"]


async def extent_of(*logs: Log) -> list[Extent]:
    """What they say that are opened, all at the same moment, and closed again."""
    try:
        return await asyncio.gather(*(log.open() for log in logs))
    finally:
        for log in logs:
            await log.close()
