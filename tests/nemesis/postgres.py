"""PostgreSQL: alone, with a standby that takes over, and behind PgBouncer in both of its modes."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from nitro.testing.conformance import eventually
from nitro.testing.nemesis import Fault
from tests.brokers import Postgres
from tests.nemesis.setup import LONG, Single, at_once, foreign_hands, holding, lasting, server_faults
from tests.services import PgBouncer, PostgresServer, Proxy, standby_of

__all__ = ["Alone", "BouncerSession", "BouncerTransaction", "Standby"]

END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
NEWEST = "SELECT max(sequence) FROM nitro_messages"


class Alone(Single[Postgres]):
    kind = "postgresql"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, Postgres(directory))

    @property
    def server(self) -> PostgresServer:
        return self.broker.server

    @property
    def url(self) -> str:
        return self.server.url.replace("postgres@", "app@")

    def start(self) -> None:
        super().start()
        self.run("CREATE ROLE app LOGIN", "ALTER DATABASE postgres OWNER TO app", "GRANT ALL ON SCHEMA public TO app")

    def faults(self) -> list[Fault]:
        return [*server_faults("postgresql", self.server), *self.sql_faults()]

    def run(self, *statements: str) -> None:
        self.broker.server.run(*statements)

    def sql_faults(self) -> list[Fault]:
        """What is done by statements."""
        return [
            *foreign_hands(self.broker, self.namespace),
            at_once("connections-ended", self._end_others),
            holding("row-of-the-log-locked", lambda: self._held("SELECT * FROM nitro_logs FOR UPDATE"), holds=LONG),
            holding("messages-locked", lambda: self._held("LOCK nitro_messages"), holds=LONG),
            self._setting("statement-timeout", "statement_timeout = '5ms'"),
            self._setting("idle-timeouts", "idle_in_transaction_session_timeout = '20ms'"),
            self._setting("read-only", "default_transaction_read_only = on"),
            self._setting("serializable", "default_transaction_isolation = 'serializable'"),
            at_once("vacuumed", lambda _: self.run("VACUUM FULL nitro_messages", "VACUUM FULL nitro_logs")),
            at_once("row-of-the-log-deleted", lambda _: self.broker.damage(self.namespace), may_lose=True),
            at_once("messages-truncated", lambda _: self.run("TRUNCATE nitro_messages"), may_lose=True),
            at_once(
                "newest-rows-deleted",
                lambda _: self.run(f"DELETE FROM nitro_messages WHERE sequence > ({NEWEST}) - 5"),
                may_lose=True,
            ),
            holding("rows-put-back", self._put_back, may_lose=True, holds=(1.0, 3.0)),
        ]

    def _setting(self, name: str, setting: str) -> Fault:
        """The role has it for a while."""
        return lasting(
            name,
            lambda: self.run(f"ALTER ROLE app SET {setting}", END_OTHERS),
            lambda: self.run("ALTER ROLE app RESET ALL", END_OTHERS),
            holds=(1.0, 4.0),
        )

    def _end_others(self, rng: random.Random) -> None:
        for _ in range(rng.choice((1, 4))):
            self.run(END_OTHERS)
            time.sleep(0.3)

    @contextlib.contextmanager
    def _held(self, statement: str) -> Iterator[None]:
        with psycopg.connect(self.server.url) as connection:
            connection.execute(statement)
            yield
            connection.rollback()

    @contextlib.contextmanager
    def _put_back(self) -> Iterator[None]:
        self.run("DROP TABLE IF EXISTS saved_nitro_logs, saved_nitro_messages, saved_nitro_producers")
        put_back = self.broker.save(self.namespace)
        yield
        put_back()


class Standby(Alone):
    """At a fail-over a standby is made, the primary is killed, the standby promoted, and the address moved."""

    kind = "postgresql-standby"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.address = Proxy(self.server.port)
        self._standbys = 0
        self._standby: PostgresServer | None = None

    @property
    def url(self) -> str:
        return f"postgresql://app@127.0.0.1:{self.address.port}/postgres"

    def start(self) -> None:
        super().start()
        self.stack.enter_context(self.address)
        self.stack.callback(lambda: self.server.discard())

    def faults(self) -> list[Fault]:
        return [
            lasting("primary-kill", lambda: self.server.end(signal.SIGKILL), lambda: self.server.start()),
            at_once("fail-over", lambda _: self._fail_over(), may_lose=True, get_ready=self._follow),
            at_once(
                "fail-over-with-a-standby-behind",
                lambda _: self._fail_over(is_behind=True),
                may_lose=True,
                get_ready=self._follow,
            ),
            at_once("connections-ended", self._end_others),
            at_once("address-cut", lambda _: self.address.cut()),
        ]

    def _follow(self) -> None:
        self._standbys += 1
        self._standby = standby_of(self.server, self.directory / f"standby-{self._standbys}").start()
        time.sleep(1)

    def _fail_over(self, *, is_behind: bool = False) -> None:
        old, new = self.server, self._standby
        assert new is not None
        if is_behind:
            new.freeze()
            time.sleep(0.7)
        old.end(signal.SIGKILL)
        if is_behind:
            new.thaw()
        new.run("SELECT pg_promote(true, 20)")
        eventually(lambda: not is_standby(new), "it is promoted")
        self.broker.server = new
        self.address.switch(new.port)
        old.discard()
        shutil.rmtree(old.directory)


class Bouncer(Alone):
    """Behind a pool."""

    mode: str

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.pool = PgBouncer(directory / "pool", self.server, mode=self.mode)
        self.pool.user = "app"
        self.pool.more = "server_login_retry = 1\n"  # it leaves a server alone for 15 s by default that was away

    @property
    def url(self) -> str:
        return super().url.replace(f":{self.server.port}", f":{self.pool.port}")

    def start(self) -> None:
        super().start()
        self.stack.enter_context(self.pool)

    def faults(self) -> list[Fault]:
        return [*server_faults("pool", self.pool), *server_faults("postgresql", self.server), *self.sql_faults()]


class BouncerSession(Bouncer):
    kind = "postgresql-bouncer-session"
    mode = "session"


class BouncerTransaction(Bouncer):
    kind = "postgresql-bouncer-transaction"
    mode = "transaction"


def is_standby(server: PostgresServer) -> bool:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])
