"""News of a Redis store: one connection that is subscribed to the channels of all streams that are watched.

Fed by the publishing of the script that commits; feeds `RedisStore.news`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError

from nitro.brokers.tasks import end, retry_seconds
from nitro.streams.base import ABSENT, Change, Stored

__all__ = ["RedisNews", "change_of"]

_PING_SECONDS: Final = 3.0
"""How long the connection may be silent before it is asked whether it still works."""
_SUBSCRIBED_AT_ONCE: Final = 1000


class RedisNews:
    """What is watched, and what was told of it.

    Args:
        client: makes the connection.
        channels: what the names of all channels begin with; a key follows.
    """

    def __init__(self, client: Any, channels: bytes) -> None:
        self._client = client
        self._channels = channels
        self._watched: set[str] = set()
        self._subscribed: set[str] = set()
        self._changes: deque[Change] = deque()
        self._failure: Exception | None = None
        self._failures = 0
        self._told = asyncio.Event()
        self._altered = asyncio.Event()
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def watch(self, key: str) -> None:
        """Subscribe to it; once that is confirmed, `next` says that it may have changed."""
        self._watched.add(key)
        self._altered.set()
        if self._task is None and not self._is_closed:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="nitro streams news from redis")

    def unwatch(self, key: str) -> None:
        """No longer. What is told nevertheless is left out."""
        self._watched.discard(key)
        self._altered.set()

    async def next(self) -> Sequence[Change]:
        """What was told since the last call. Raises why there is no news, if a connection can't be made.

        When a connection was lost, each key may have changed once the next one is subscribed to it.
        """
        while True:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._changes:
                changes, self._changes = self._changes, deque()
                return changes
            self._told.clear()
            await self._told.wait()

    def renew(self) -> None:
        """Connect again: the server may be another one now."""
        if self._connection is not None:
            self._connection = None
            self._altered.set()

    async def close(self) -> None:
        """End the connection."""
        self._is_closed = True
        if self._task is not None:
            await end([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                connection = await self._connect()
                try:
                    await self._listen(connection)
                finally:
                    self._connection = None
                    await connection.disconnect(nowait=True)
            except Exception as error:  # noqa: BLE001 - a driver's; it is raised by who waits for news
                if self._failures:  # a connection that was lost is told by what is subscribed again
                    self._failure = error
                    self._told.set()
            await asyncio.sleep(retry_seconds(self._failures))
            self._failures += 1

    async def _connect(self) -> Any:
        """A connection of the older protocol, in which what is told comes as replies do."""
        connection: Any
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
            node: Any = self._client.get_random_node()
            connection = node.connection_class(**{**node.connection_kwargs, "protocol": 2})
        else:
            pool = self._client.connection_pool
            connection = pool.connection_class(**{**pool.connection_kwargs, "protocol": 2})
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        connection.socket_timeout = None
        self._connection = connection
        self._subscribed.clear()
        self._altered.set()
        return connection

    async def _listen(self, connection: Any) -> None:
        """Read, and subscribe to what is watched, until one of both fails or the connection is renewed."""
        tasks = [asyncio.create_task(self._read(connection)), asyncio.create_task(self._subscribe(connection))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end(tasks)

    async def _read(self, connection: Any) -> None:
        is_silent = False
        while True:
            reply = await connection.read_response(timeout=_PING_SECONDS, disconnect_on_error=False)
            if reply is not None:
                is_silent = False
                self._take(reply)
            elif is_silent:
                raise RedisConnectionError("the connection for news is silent")
            else:
                is_silent = True
                await connection.send_command("PING", check_health=False)

    async def _subscribe(self, connection: Any) -> None:
        """Send what has to be subscribed, and what no longer."""
        while self._connection is connection:
            await self._altered.wait()
            self._altered.clear()
            if self._connection is not connection:
                return
            added = [key for key in self._watched if key not in self._subscribed]
            removed = [key for key in self._subscribed if key not in self._watched]
            self._subscribed.difference_update(removed)
            self._subscribed.update(added)
            for verb, keys in (("UNSUBSCRIBE", removed), ("SUBSCRIBE", added)):
                for first in range(0, len(keys), _SUBSCRIBED_AT_ONCE):
                    channels = [self._channels + key.encode() for key in keys[first : first + _SUBSCRIBED_AT_ONCE]]
                    await connection.send_command(verb, *channels, check_health=False)

    def _take(self, reply: Any) -> None:
        self._failures = 0
        kind = reply[0]
        if kind == b"subscribe":
            key = reply[1][len(self._channels) :].decode()
            self._changes.append(Change(key, ABSENT, None, None, False))
            self._told.set()
        elif kind == b"message":
            key = reply[1][len(self._channels) :].decode()
            if key in self._watched:
                self._changes.append(change_of(key, reply[2]))
                self._told.set()

    def __repr__(self) -> str:
        return f"<RedisNews of {len(self._watched)} streams>"


def change_of(key: str, told: bytes) -> Change:
    """The news as the script has published it."""
    previous, version, rest = told.split(b" ", 2)
    if rest in (b"deleted", b"long"):
        return Change(key, int(previous), None, None, rest == b"deleted")
    head, _, content = rest.partition(b"\n")
    tail, alarm, length, has_body = head.split(b" ")
    state, body = content[: int(length)], content[int(length) :]
    stored = Stored(int(version), int(tail), state, float(alarm) if alarm else None)
    return Change(key, int(previous), stored, body if has_body == b"body" else None, True)
