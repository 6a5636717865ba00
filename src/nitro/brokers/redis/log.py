"""`redis://`: the log in a Redis stream, for several hosts. Redis 6.2 or newer, or Valkey.

The entries' ids are the sequences. A script appends, so that epoch, sequence, producers and retention change together.
All keys of a namespace share one hash tag, and so one slot of a cluster.

Redis may lose acknowledged entries when it restarts without `appendfsync always`, or when a replica takes over. Which
ones is unknown, so the log begins a new epoch then. Both are detected by the server's run id. If a server has or had a
replica, another run id may mean another server, even at the same address.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import BusyLoadingError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from nitro.brokers.base import Entry, Examination, Extent, LogChanged, Retention, new_epoch
from nitro.brokers.codec import STAMP_BYTES
from nitro.brokers.redis.line import Line
from nitro.brokers.redis.scripts import APPEND, EDGES, OPEN, RENEW
from nitro.brokers.redis.source import RedisSource, why_refused
from nitro.errors import ConfigurationError
from nitro.redaction import without_secrets

__all__ = ["RedisLog"]

_BEHIND: Final = "18446744073709551615"
"""The largest second half of an id: what follows has a higher sequence, even if others wrote to the stream."""
_SURVIVES: Final = {
    "always": "all of them: they are on disk before they are acknowledged",
    "everysec": "all but the last second, and every client gets a gap; `appendfsync always` keeps all",
    "no": "what the system had written, and every client gets a gap; `appendfsync always` keeps all",
}
_APPEND: Final = "redis-cli CONFIG SET appendonly yes, and appendfsync always; then CONFIG REWRITE"
_NO_EVICTION: Final = "redis-cli CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE"
_FEWEST_ENTRIES: Final = 16
_SCANNED_AT_ONCE: Final = 5_000
_PAGE_BYTES: Final = 4 * 1024 * 1024
_OLDEST_SERVER: Final = (6, 2)
_UNKNOWN: Final = "unknown"


class RedisLog:
    """See `base.Log` for what its verbs promise. Entries are acknowledged when Redis has replied.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://` for TLS, `redis+unix:///path/to.sock?db=0`,
            `redis+sentinel://host:26379,host:26379/master-name/0` or `redis+cluster://host:6379`.
        namespace: separates logs on one server.
        retention: what is retained on the server.
        max_body_bytes: a longer entry is read without its body.
    """

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int) -> None:
        self.name: str = without_secrets(url)
        self._source = RedisSource(url)
        self._retention = retention
        self._longest_body = max_body_bytes
        self._log = f"{{nitro:{namespace}}}"
        self._epoch = ""
        self._seen = 0  # newest sequence that this process has read or appended in that epoch
        self._stream = ""
        self._page_entries = _FEWEST_ENTRIES
        self._client: Any = None
        self._reader: Any = None
        self._writer: Any = None
        self._run = _UNKNOWN

    async def open(self) -> Extent:
        self._client = client = self._source.client()
        self._run, survives, is_replicated = await self._server(client)
        values = (self._run, int(survives), int(is_replicated), new_epoch(), self._epoch, self._seen)
        epoch, sequence, begin = await client.eval(OPEN, 1, self._log, *values)
        newest = int(sequence)
        if epoch.decode() != self._epoch:
            self._epoch, self._seen = epoch.decode(), 0
        self._stream = f"{self._log}:{self._epoch}"
        edges = await client.eval(EDGES, 1, self._stream)
        if edges and _sequence(edges[1]) < newest:
            await self.renew()  # no reader would reach the head
            raise LogChanged("its newest entries were deleted")
        client.set_response_callback("XREAD", _unchanged)
        self._reader, self._writer = Line(client), Line(client)
        await self._reader.open()
        await self._writer.open()
        return Extent(self._epoch, _sequence(edges[0]) if edges else newest + 1, newest, begin)

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        max_messages, max_bytes, max_age_seconds = self._retention
        keys = (self._log, self._stream, f"{self._stream}:{producer}")
        numbers = (first, max_messages, max_bytes, int(max_age_seconds * 1000), STAMP_BYTES)
        newest = await self._ask(self._writer, "EVAL", APPEND, 3, *keys, self._epoch, *numbers, *bodies)
        if newest is None:
            raise LogChanged("it has another epoch")
        self._seen = max(self._seen, int(newest))
        return int(newest)

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        entries = await self._read(after, limit, round(wait_seconds * 1000))
        if entries:
            return entries
        if await self._newest(self._reader) != after:
            entries = await self._read(after, limit, 0)
            if not entries:
                raise LogChanged("it was emptied")
        return entries

    async def newest(self) -> int:
        if self._source.sentinels and not await self._source.is_master(self._writer.address):
            raise RedisConnectionError("Sentinel names another server the master, which this one doesn't know yet")
        return await self._newest(self._writer)

    async def _newest(self, line: Line) -> int:
        epoch, newest = await self._ask(line, "HMGET", self._log, "epoch", "sequence")
        if epoch is None or epoch.decode() != self._epoch:
            raise LogChanged("it has another epoch")
        return int(newest)

    def why_refused(self, error: Exception) -> str | None:
        return why_refused(error, is_plain=not isinstance(self._client, RedisCluster))

    async def examine(self) -> Examination:
        client = self._client
        node = self._node(client)
        asked_at = time.time()
        seconds, microseconds = await client.time(**node)
        ahead = seconds + microseconds / 1e6 - (asked_at + time.time()) / 2
        try:
            persistence = await client.info("persistence", **node)
            settings = await client.config_get("appendfsync", "save", "maxmemory", "maxmemory-policy", **node)
        except ResponseError as error:
            return Examination(f"it can't be told: {error}", (), ahead)
        weaknesses = []
        survives = _SURVIVES.get(settings["appendfsync"], _SURVIVES["everysec"])
        if not persistence["aof_enabled"]:
            survives = "none of them" if not settings["save"] else "those of the last snapshot; every client gets a gap"
            weaknesses.append((f"Redis keeps no log of its own on disk, so a restart keeps {survives}", _APPEND))
        if int(settings["maxmemory"]) and settings["maxmemory-policy"] != "noeviction":
            policy = settings["maxmemory-policy"]
            weaknesses.append((f"Redis evicts keys when its memory is full (maxmemory-policy {policy})", _NO_EVICTION))
        return Examination(survives, weaknesses, ahead)

    async def count_producers(self) -> int:
        found = self._client.scan_iter(f"{self._stream}:*", count=_SCANNED_AT_ONCE, **self._node(self._client))
        return len({key async for key in found})

    async def renew(self) -> None:
        await self._client.eval(RENEW, 2, self._log, self._stream, self._epoch, new_epoch(), self._seen)

    async def close(self) -> None:
        client, self._client = self._client, None
        lines = (self._reader, self._writer)
        self._reader = self._writer = None
        for line in lines:
            if line is not None:
                await line.close()
        if client is not None:
            await self._source.close(client)

    async def _read(self, after: int, limit: int, wait_milliseconds: int) -> list[Entry]:
        count = min(limit, self._page_entries)
        waiting = ("BLOCK", wait_milliseconds) if wait_milliseconds else ()
        start = ("STREAMS", self._stream, f"{after}-{_BEHIND}")
        found = await self._ask(self._reader, "XREAD", "COUNT", count, *waiting, *start)
        if not found:
            return []
        ((_, items),) = found.items() if isinstance(found, dict) else found
        now = time.time()
        entries = [self._entry(id, fields or (), now) for id, fields in items]
        self._seen = max(self._seen, entries[-1].sequence)
        size = sum(len(entry.body or b"") for entry in entries)
        self._page_entries = max(_FEWEST_ENTRIES, count // 2) if size > _PAGE_BYTES else min(limit, 2 * count)
        return entries

    def _entry(self, id: bytes, names_and_values: Sequence[bytes], now: float) -> Entry:
        fields = dict(zip(names_and_values[::2], names_and_values[1::2], strict=True))
        body = fields.get(b"b", b"")
        came = fields.get(b"t", b"")
        age = now - int(came) / 1000 if came.isdigit() and len(came) < 20 else 0.0
        return Entry(_sequence(id), body if len(body) <= self._longest_body else None, max(0.0, age))

    async def _ask(self, line: Line, *command: Any) -> Any:
        """Send a command; retry once if the server or a proxy has closed an idle connection.

        All commands sent here may be repeated. If the server's run id has changed it may have lost entries, which only
        `open` detects, so the error is raised then.
        """
        try:
            return await line.ask(*command)
        except RedisConnectionError as error:
            if type(error) is not RedisConnectionError or self._run == _UNKNOWN:
                raise
            await line.open()
            if await self._run_id(self._client) != self._run:
                raise
            return await line.ask(*command)

    async def _server(self, client: Any) -> tuple[str, bool, bool]:
        """The server's run id; whether acknowledged entries survive its restart; whether it has replicas."""
        run = await self._run_id(client)
        if run == _UNKNOWN or self._source.has_replicas:
            return run, False, True
        try:
            persistence, policy = await client.info("persistence"), await client.config_get("appendfsync")
            replication = await client.info("replication")
        except ResponseError:
            return run, False, True
        if persistence.get("loading"):  # it reports no AOF until that is done
            raise BusyLoadingError("it is loading its data from disk")
        if replication.get("role") == "slave":
            raise ReadOnlyError("it is a replica, and has not taken over")
        is_durable = bool(persistence["aof_enabled"]) and policy.get("appendfsync") == "always"
        has_taken_over = bool(str(replication.get("master_replid2", "")).strip("0"))
        return run, is_durable and not has_taken_over, bool(replication.get("connected_slaves"))

    def _node(self, client: Any) -> dict[str, Any]:
        """The option that sends a command without a key to the log's node of a cluster."""
        return {"target_nodes": client.get_node_from_key(self._log)} if isinstance(client, RedisCluster) else {}

    async def _run_id(self, client: Any) -> str:
        if isinstance(client, RedisCluster):
            await client.initialize()
        try:
            server = await client.info("server", **self._node(client))
        except ResponseError:  # the user may not run INFO; then only missing entries show a loss
            return _UNKNOWN
        version = str(server.get("redis_version", ""))
        found = re.match(r"(\d+)\.(\d+)", version)
        if found and (int(found[1]), int(found[2])) < _OLDEST_SERVER:
            raise ConfigurationError(f"it is Redis {version}; 6.2 or newer is needed")
        return str(server["run_id"])

    def __repr__(self) -> str:
        return f"<RedisLog {self.name}, keys {self._log}>"


def _sequence(id: bytes) -> int:
    return int(id.partition(b"-")[0])


def _unchanged(reply: Any, **_options: Any) -> Any:
    """A reply as it came: a cluster's client would make dictionaries of it, which a line doesn't."""
    return reply
