"""`redis://`: streams in Redis 6.2 or newer, or Valkey; one server, behind Sentinel, or a cluster.

A namespace has shards, each with an index of its keys and one of their alarms. A key's shard follows from the key, and
all of a shard is in one slot of a cluster: so one script changes a stream and its indexes together, and the streams of
a namespace are spread over the nodes. Three connections: for changes, for what is read, for news.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final
from zlib import crc32

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from nitro.brokers.redis.source import RedisSource, why_refused
from nitro.errors import ConfigurationError
from nitro.redaction import cause_of, without_secrets
from nitro.streams.base import Change, Commit, Conflict, Record, Stored
from nitro.streams.stores.redis.exchange import Command, Exchange
from nitro.streams.stores.redis.news import RedisNews
from nitro.streams.stores.redis.scripts import COMMIT, DUE, FORGET, GRACE_SECONDS, POSTPONE, READ

__all__ = ["RedisStore"]

_SHARDS: Final = 16
_TOLD_BYTES: Final = 8 * 1024
"""The longest state and record that news of a commit holds; what is longer has to be read."""
_MORE_THAN_ANY_KEY: Final = b"\xff"


class RedisStore:
    """See `base.Store` for what its verbs promise. A commit is as durable as what Redis has replied to.

    Redis itself deletes a stream an hour after it has expired, if nobody has swept it.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://` for TLS, `redis+unix:///path/to.sock?db=0`,
            `redis+sentinel://host:26379,host:26379/master-name/0` or `redis+cluster://host:6379`.
        namespace: separates stores on one server.
    """

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str) -> None:
        self.name: str = without_secrets(url)
        self._source = RedisSource(url)
        self._namespace = namespace
        self._shards = [f"nitro:{{{namespace}/{number}}}".encode() for number in range(_SHARDS)]
        self._channels = b""
        self._client: Any = None
        self._reader: Any = None
        self._writer: Any = None
        self._news: Any = None

    async def open(self) -> None:
        await self.close()
        self._client = client = self._source.client()
        self._channels = f"nitro:{self._namespace}:{_database(client)}:".encode()
        self._reader, self._writer = Exchange(client, self._renew), Exchange(client, self._renew)
        self._news = RedisNews(client, self._channels)
        try:
            await self._reader.ask("HGET", self._shards[0] + b":s:", "version")
        except (RedisError, OSError) as error:
            await self.close()
            why = why_refused(error, is_plain=not isinstance(client, RedisCluster))
            if why is not None:
                raise ConfigurationError(f"streams can't be kept in {self.name}: {why}") from cause_of(error)
            raise

    async def load(self, key: str) -> Stored | None:
        name = key.encode()
        fields = ("version", "tail", "state", "alarm")
        version, tail, state, alarm = await self._reader.ask("HMGET", self._shard(name) + b":s:" + name, *fields)
        if tail is None:
            return None
        return Stored(int(version), int(tail), state, float(alarm) if alarm else None)

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        replies = await self._writer.ask_all([self._commit(commit) for commit in commits])
        return [
            reply
            if reply > 0
            else Conflict(f"{commit.key!r} is at {-1 - reply}, not at {commit.expected}; read it, and decide again")
            for commit, reply in zip(commits, replies, strict=True)
        ]

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        name = key.encode()
        numbers = (after, until, max_bytes)
        found = await self._reader.ask("EVALSHA", READ.sha, 1, self._shard(name) + b":r:" + name, *numbers)
        return [Record(int(id.partition(b"-")[0]), body) for id, body in zip(found[::2], found[1::2], strict=True)]

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        name = key.encode()
        shard = self._shard(name)
        keys = (shard + b":s:" + name, shard + b":r:" + name, shard + b":alarms")
        alarms = (_text(alarm_at), _text(to))
        return bool(await self._writer.ask("EVALSHA", POSTPONE.sha, 3, *keys, name, *alarms))

    async def due(self, now: float, limit: int) -> Sequence[str]:
        while True:
            found = await self._alarms(now, limit)
            doubtful = [name for alarm_at, name in found if alarm_at <= time.time() - GRACE_SECONDS]
            if not await self._forget_gone(doubtful):
                return [name.decode() for _, name in found]

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        while overdue := await self._alarms(time.time() - GRACE_SECONDS, 1000):
            if len(await self._forget_gone([name for _, name in overdue])) < len(overdue):
                break
        start = prefix.encode()
        span = (b"[" + start, b"(" + start + _MORE_THAN_ANY_KEY, "LIMIT", 0, limit)
        pages = await self._reader.ask_all([("ZRANGEBYLEX", shard + b":names", *span) for shard in self._shards])
        return [name.decode() for name in sorted(name for page in pages for name in page)[:limit]]

    def watch(self, key: str) -> None:
        self._news.watch(key)

    def unwatch(self, key: str) -> None:
        self._news.unwatch(key)

    async def news(self) -> Sequence[Change] | None:
        changes: Sequence[Change] | None = await self._news.next()
        return changes

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        for each in (self._news, self._reader, self._writer):
            await each.close()
        await self._source.close(client)

    def _commit(self, commit: Commit) -> Command:
        name = commit.key.encode()
        shard = self._shard(name)
        keys = (shard + b":s:" + name, shard + b":r:" + name, shard + b":names", shard + b":alarms")
        alarm = (_text(commit.alarm_at), int(commit.expires))
        about = (name, self._channels + name, _TOLD_BYTES, commit.expected, commit.tail, *alarm)
        content = [part for part in (commit.state, commit.body) if part is not None]
        return ("EVALSHA", COMMIT.sha, 4, *keys, *about, *(content if commit.state is not None else ()))

    async def _alarms(self, until: float, limit: int) -> list[tuple[float, bytes]]:
        """The earliest alarms that the indexes have, with their keys."""
        asked = [("EVALSHA", DUE.sha, 1, shard + b":alarms", _text(until), limit) for shard in self._shards]
        found: list[tuple[float, bytes]] = []
        for page in await self._reader.ask_all(asked):
            found += [(float(alarm), name) for name, alarm in zip(page[::2], page[1::2], strict=True)]
        return sorted(found)[:limit]

    async def _forget_gone(self, names: Iterable[bytes]) -> list[bytes]:
        """Take those keys out of the indexes that Redis has deleted by itself; which ones that were."""
        asked: dict[bytes, Command] = {}
        for name in names:
            shard = self._shard(name)
            keys = (shard + b":s:" + name, shard + b":names", shard + b":alarms")
            asked[name] = ("EVALSHA", FORGET.sha, 3, *keys, name)
        replies = await self._writer.ask_all(list(asked.values())) if asked else ()
        return [name for name, is_gone in zip(asked, replies, strict=True) if is_gone]

    def _shard(self, name: bytes) -> bytes:
        """What the names of a key's Redis keys begin with; the braces say in a cluster that they belong together."""
        return self._shards[crc32(name) % _SHARDS]

    def _renew(self) -> None:
        """A connection was lost, so another server may be the master: all connections are made anew."""
        for each in (self._reader, self._writer, self._news):
            each.renew()

    def __repr__(self) -> str:
        return f"<RedisStore {self.name}, namespace {self._namespace}>"


def _text(alarm_at: float | None) -> str:
    return "" if alarm_at is None else repr(float(alarm_at))


def _database(client: Any) -> int:
    """The number of its database: streams are told apart by it, but channels are not."""
    if isinstance(client, RedisCluster):
        return 0
    return int(client.connection_pool.connection_kwargs.get("db") or 0)
