"""The exchange: sends what concurrent verbs ask of Redis over one connection, all that came meanwhile in one go.

Fed by `RedisStore`; feeds a line. So a thousand verbs need one connection, and one round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from nitro.brokers.redis.line import Line
from nitro.brokers.tasks import ANSWER_SECONDS, end
from nitro.streams.stores.redis.scripts import ALL

__all__ = ["Command", "Exchange"]

Command = Sequence[Any]

_ROUND_COMMANDS: Final = 1000
_ROUND_BYTES: Final = 4 * 1024 * 1024
"""What is sent in one go: its replies have to come in time."""
_ANSWER_SECONDS: Final = ANSWER_SECONDS + 1.0
"""Longer than who asks waits, so that these are told first."""
_IDLE_SECONDS: Final = 5.0
"""After that a server or a proxy may have closed the connection, so it is looked at before it is used."""

_CLOSED: Final = "the store is closed; open it again to use it"


class _Asked(NamedTuple):
    commands: Sequence[Command]
    answer: asyncio.Future[list[Any]]


class Exchange:
    """One connection, or one to each node of a cluster; made when it is needed, and again after it was lost.

    Args:
        client: makes the connection.
        on_loss: called when the connection is lost.
    """

    def __init__(self, client: Any, on_loss: Callable[[], None]) -> None:
        self._client = client
        self._on_loss = on_loss
        self._line = Line(client)
        self._is_open = self._is_closed = False
        self._used_at = 0.0
        self._waiting: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, *command: Any) -> Any:
        """Send a command, and wait for the reply. Raises redis-py's errors, and those that Redis replies."""
        (reply,) = await self.ask_all([command])
        return reply

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands, and wait for all replies; raises the first error among them."""
        if self._is_closed:
            raise RedisConnectionError(_CLOSED)
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(commands, answer))
        if self._task is None or self._task.done():  # cancelled before it began
            self._task = asyncio.get_running_loop().create_task(self._run(), name="nitro streams on redis")
        replies = await answer
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def renew(self) -> None:
        """Connect again before anything else is sent: the server may be another one now."""
        self._is_open = False

    async def close(self) -> None:
        """Close the connection; those who wait are told."""
        self._is_closed = True
        if self._task is not None:
            await end([self._task])
        await self._line.close()

    async def _run(self) -> None:
        asked: list[_Asked] = []
        try:
            while self._waiting:
                asked = [each for each in self._waiting if not each.answer.done()]  # but for who no longer waits
                self._waiting = []
                if not asked:
                    continue
                try:
                    replies = await self._answer([command for each in asked for command in each.commands])
                except asyncio.CancelledError:
                    self._is_open = False  # its replies are still to come
                    raise
                except Exception as error:  # noqa: BLE001 - raised again by those who wait
                    self._lost()
                    for each in asked:
                        if not each.answer.done():
                            each.answer.set_exception(error)
                else:
                    _distribute(asked, replies)
        finally:
            self._task = None
            left, self._waiting = (*asked, *self._waiting), []
            for each in left:
                if not each.answer.done():
                    each.answer.set_exception(RedisConnectionError(_CLOSED))

    async def _answer(self, commands: Sequence[Command]) -> list[Any]:
        """All replies, or errors in their places."""
        await self._connect()
        replies = await self._replies(commands)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # the server has started since it ran them
            texts = [("EVAL", ALL[commands[place][1]], *commands[place][2:]) for place in unknown]
            for place, reply in zip(unknown, await self._replies(texts), strict=True):
                replies[place] = reply
        self._used_at = time.monotonic()
        if any(isinstance(reply, _LOST) for reply in replies):
            self._lost()
        return replies

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        for some in _rounds(commands):
            async with asyncio.timeout(_ANSWER_SECONDS):
                replies += await self._line.ask_all(some)
        return replies

    async def _connect(self) -> None:
        if self._is_open and time.monotonic() < self._used_at + _IDLE_SECONDS:
            return
        if self._is_open and await self._line.is_alive():
            return
        if isinstance(self._client, RedisCluster):
            await self._client.nodes_manager.initialize()  # another node may have the slots now
        await self._line.open()
        self._is_open = True

    def _lost(self) -> None:
        self._is_open = False
        self._on_loss()

    def __repr__(self) -> str:
        return f"<Exchange over {self._line!r}>"


_LOST: Final = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OSError)
"""Replies that say that the node is gone, or no longer the master."""


def _rounds(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """The commands in pieces that are not too long."""
    first, size = 0, 0
    for place, command in enumerate(commands):
        length = sum(len(part) for part in command if isinstance(part, bytes))
        if place > first and (place - first == _ROUND_COMMANDS or size + length > _ROUND_BYTES):
            yield commands[first:place]
            first, size = place, 0
        size += length
    yield commands[first:]


def _distribute(asked: Sequence[_Asked], replies: Sequence[Any]) -> None:
    place = 0
    for commands, answer in asked:
        if not answer.done():
            answer.set_result(list(replies[place : place + len(commands)]))
        place += len(commands)
