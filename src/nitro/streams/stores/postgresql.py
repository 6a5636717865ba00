"""`postgresql://`: streams in two tables of a database, changed in one transaction for each batch of commits.

Commits of a key wait for each other by an advisory lock, so that versions, from one sequence, increase along a key.
NOTIFY in the same transaction tells who watches. Through a pooler in transaction mode, `news` only says to look.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from nitro.brokers.postgresql import statements as log_sql
from nitro.brokers.postgresql.connection import LogConnection, connection_to, hears
from nitro.brokers.postgresql.dsn import target_of
from nitro.brokers.tasks import in_time
from nitro.redaction import without_secrets
from nitro.streams.base import Change, Commit, Conflict, Record, Stored

__all__ = ["PostgresStore"]

_HEARD_WITHIN_SECONDS: Final = 1.0
_LOOKS_AFTER_SECONDS: Final = 0.25
"""Without notifications, `news` says this often that some may have been missed."""
_SILENT_SECONDS: Final = 3.0
"""How long the connection for news may be silent before it is asked whether it still works."""
_LISTEN_MORE_SECONDS: Final = 10.0
"""How much longer than any other answer it may take to connect for news, and to find out whether it comes."""
_LOST: Final = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)
"""Errors by which a connection is lost, perhaps because another server is the primary now."""
_EXISTS: Final = (
    "SELECT to_regclass('nitro_streams') IS NOT NULL AND to_regclass('nitro_stream_records') IS NOT NULL "
    "AND to_regclass('nitro_stream_versions') IS NOT NULL"
)
_SCHEMA: Final = """
CREATE SEQUENCE IF NOT EXISTS nitro_stream_versions;
CREATE TABLE IF NOT EXISTS nitro_streams (
    namespace text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, version bigint NOT NULL, tail bigint NOT NULL,
    state bytea NOT NULL, alarm_at double precision, PRIMARY KEY (namespace, key));
CREATE INDEX IF NOT EXISTS nitro_streams_alarms ON nitro_streams (namespace, alarm_at) WHERE alarm_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS nitro_stream_records (
    namespace text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, version bigint NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (namespace, key, version));
"""
_LOCK: Final = """
SELECT pg_advisory_xact_lock(hashtext('nitro_streams'), lock) FROM (
    SELECT DISTINCT hashtext($1 || '/' || key) & 1023 AS lock FROM unnest($2::text[]) AS key ORDER BY 1) AS locks
"""
"""In order, so that two batches can't wait for each other; of a limited number, as the server's lock table is."""
_COMMIT: Final = """
WITH given AS MATERIALIZED (
    SELECT c.*, nextval('nitro_stream_versions') AS version
    FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], $7::float8[])
        WITH ORDINALITY AS c (key, expected, state, body, tail, alarm_at, place)
    LEFT JOIN nitro_streams s ON s.namespace = $1 AND s.key = c.key WHERE coalesce(s.version, 0) = c.expected
), gone AS (
    DELETE FROM nitro_streams s USING given g WHERE g.state IS NULL AND s.namespace = $1 AND s.key = g.key
), emptied AS (
    DELETE FROM nitro_stream_records r USING given g WHERE g.state IS NULL AND r.namespace = $1 AND r.key = g.key
), kept AS (
    INSERT INTO nitro_streams (namespace, key, version, tail, state, alarm_at)
    SELECT $1, key, version, CASE WHEN body IS NULL THEN tail ELSE version END, state, alarm_at
    FROM given WHERE state IS NOT NULL
    ON CONFLICT (namespace, key) DO UPDATE SET version = excluded.version, tail = excluded.tail,
        state = excluded.state, alarm_at = excluded.alarm_at
), written AS (
    INSERT INTO nitro_stream_records (namespace, key, version, body)
    SELECT $1, key, version, body FROM given WHERE state IS NOT NULL AND body IS NOT NULL
), told AS (
    SELECT place, version,
        concat_ws(' ', $9::text, encode(convert_to(key, 'UTF8'), 'base64'), expected, version) AS head,
        CASE WHEN state IS NULL THEN '-' WHEN octet_length(state) + coalesce(octet_length(body), 0) > 1700 THEN '?'
        ELSE concat_ws(' ', CASE WHEN body IS NULL THEN tail ELSE version END, coalesce(alarm_at::text, '-'),
            encode(state, 'base64'), coalesce(encode(body, 'base64'), '-')) END AS rest
    FROM given
)
SELECT place, version, pg_notify($8, head || ' ' || rest) FROM told ORDER BY version
"""
_READ: Final = """
SELECT version, body FROM (
    SELECT version, body, sum(octet_length(body)) OVER w AS bytes, row_number() OVER w AS place
    FROM (SELECT version, body FROM nitro_stream_records
        WHERE namespace = $1 AND key = $2 AND version > $3 AND version <= $4 ORDER BY version LIMIT 1000) AS page
    WINDOW w AS (ORDER BY version)
) AS sized WHERE bytes <= $5 OR place = 1 ORDER BY version
"""
_LOAD: Final = "SELECT version, tail, state, alarm_at FROM nitro_streams WHERE namespace = $1 AND key = $2"
_POSTPONE: Final = (
    "UPDATE nitro_streams SET alarm_at = $4 WHERE namespace = $1 AND key = $2 AND alarm_at = $3 RETURNING 1"
)
_DUE: Final = "SELECT key FROM nitro_streams WHERE namespace = $1 AND alarm_at <= $2 ORDER BY alarm_at, key LIMIT $3"
_KEYS: Final = (
    "SELECT key FROM nitro_streams WHERE namespace = $1 AND key >= $2 AND starts_with(key, $2) ORDER BY key LIMIT $3"
)


class PostgresStore:
    """See `base.Store` for what its verbs promise."""

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str) -> None:
        self.name: str = without_secrets(url)
        self._target = target_of(url)
        self._namespace = namespace
        self._channel = f"nitro_streams_{hashlib.sha256(namespace.encode()).hexdigest()[:32]}"
        self._sender = secrets.token_hex(8)
        self._lock = asyncio.Lock()
        self._work: LogConnection | None = None
        self._ear: LogConnection | None = None
        self._is_notified = True
        self._heard_at = 0.0
        self._watched: set[str] = set()
        self._changes: list[Change] = []
        self._stir = asyncio.Event()

    async def open(self) -> None:
        await self._run("SELECT 1")

    async def load(self, key: str) -> Stored | None:
        rows = await self._run(_LOAD, self._namespace, key)
        return Stored(*rows[0]) if rows else None

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        columns = [
            [getattr(each, name) for each in commits]
            for name in ("key", "expected", "state", "body", "tail", "alarm_at")
        ]
        values = (self._namespace, *columns, self._channel, self._sender)
        rows = await self._run(_COMMIT, *values, locked=columns[0])
        versions = {place: version for place, version, _ in rows}
        return [
            versions.get(place) or Conflict(f"{each.key!r} is no longer at {each.expected}")
            for place, each in enumerate(commits, 1)
        ]

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        return [Record(*row) for row in await self._run(_READ, self._namespace, key, after, until, max_bytes)]

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        return bool(await self._run(_POSTPONE, self._namespace, key, alarm_at, to))

    async def due(self, now: float, limit: int) -> Sequence[str]:
        return [key for (key,) in await self._run(_DUE, self._namespace, now, limit)]

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        return [key for (key,) in await self._run(_KEYS, self._namespace, prefix, limit)]

    def watch(self, key: str) -> None:
        self._watched.add(key)
        self._stir.set()

    def unwatch(self, key: str) -> None:
        self._watched.discard(key)

    async def news(self) -> Sequence[Change] | None:
        while True:
            if self._changes:
                changes, self._changes = self._changes, []
                return changes
            if self._watched and not self._is_notified:
                await asyncio.sleep(_LOOKS_AFTER_SECONDS)
                return None
            if self._ear is not None and self._ear.connection.is_closed():
                self._ear = None
            if self._watched and self._ear is None:
                await in_time(self._listen(), _LISTEN_MORE_SECONDS)
                return None
            self._stir.clear()
            try:
                async with asyncio.timeout_at(self._heard_at + _SILENT_SECONDS if self._ear is not None else None):
                    await self._stir.wait()
            except TimeoutError:
                await self._ask()

    async def close(self) -> None:
        lines, self._work, self._ear, self._is_notified = (self._work, self._ear), None, None, True
        for line in lines:
            if line is not None:
                line.connection.terminate()

    async def _run(self, statement: str, *values: Any, locked: Sequence[str] | None = None) -> list[Any]:
        """Run a statement in a transaction; after any error, the next one has a new connection."""
        async with self._lock:
            try:
                line = self._work
                if line is not None and line.connection.is_closed():
                    line = None
                    self._end_ear()
                if line is None:
                    line = self._work = await connection_to(self._target)
                    await self._make(line)
                async with line.transaction():
                    if locked is not None:
                        await line.read(_LOCK, self._namespace, locked)
                    return await line.read(statement, *values)
            except BaseException as error:
                self._sender = secrets.token_hex(8)  # what is stored all the same is news
                if self._work is not None:
                    self._work.connection.terminate()
                    self._work = None
                if isinstance(error, _LOST):
                    self._end_ear()
                raise

    async def _make(self, line: LogConnection) -> None:
        if not await line.connection.fetchval(_EXISTS):
            async with line.transaction():
                await line.connection.execute(log_sql.ALONE)
                await line.connection.execute(_SCHEMA)

    async def _listen(self) -> None:
        ear = await connection_to(self._target)
        other = None
        try:
            other = await connection_to(self._target)
            self._is_notified = await hears(ear, other, _HEARD_WITHIN_SECONDS)
            if self._is_notified:
                await ear.connection.add_listener(self._channel, self._hear)
                ear.connection.add_termination_listener(lambda _: self._stir.set())
                self._ear, self._heard_at = ear, asyncio.get_running_loop().time()
        finally:
            if other is not None:
                other.connection.terminate()
            if self._ear is not ear:
                ear.connection.terminate()

    async def _ask(self) -> None:
        """End the connection for news unless it answers: it may be dead without a word, behind a firewall or a NAT."""
        if self._ear is None:
            return
        try:
            await in_time(self._ear.read("SELECT 1"))
        except (OSError, asyncpg.PostgresError):
            self._end_ear()
        else:
            self._heard_at = asyncio.get_running_loop().time()

    def _end_ear(self) -> None:
        """Listen anew: the connection for work was lost, or this one."""
        if self._ear is not None:
            self._ear.connection.terminate()
            self._ear = None
            self._stir.set()

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        sender, coded, previous, version, *rest = str(payload).split(" ")
        key = base64.b64decode(coded).decode()
        if sender == self._sender or key not in self._watched:
            return
        stored, body = None, None
        if len(rest) > 1:
            tail, alarm_at, state, record = rest
            alarm = None if alarm_at == "-" else float(alarm_at)
            stored = Stored(int(version), int(tail), base64.b64decode(state), alarm)
            body = None if record == "-" else base64.b64decode(record)
        self._changes.append(Change(key, int(previous), stored, body, rest != ["?"]))
        self._stir.set()

    def __repr__(self) -> str:
        return f"<PostgresStore {self.name}, namespace {self._namespace}>"
