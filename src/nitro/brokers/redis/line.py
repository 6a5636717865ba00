"""A line to Redis: one connection that a log keeps, for one task at a time.

redis-py's clients take a connection from their pool for each command, look whether it still works, measure, and wait
for the socket in a task of its own. That takes longer than Redis itself, and an event waits for it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

__all__ = ["Line"]


class Line:
    """Sends commands, and returns what Redis replied, not parsed any further.

    Args:
        client: makes the connection. A cluster's client has to find the node each time, and so sends them itself.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._connection: Any = None
        self._socket_seconds: float | None = None
        if not isinstance(client, RedisCluster):
            self._connection = client.connection_pool.make_connection()
            self._socket_seconds = self._connection.socket_timeout

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server that it was opened to last. Not for a cluster or a socket, which have none."""
        return self._connection.host, int(self._connection.port)

    async def open(self) -> None:
        """Connect; again, if it was open. The idle connections of the client are closed: they may be dead as well."""
        connection = self._connection
        if connection is None:
            return
        await connection.disconnect(nowait=True)
        connection.socket_timeout = self._socket_seconds
        await connection.connect()
        await self._client.connection_pool.disconnect(inuse_connections=False)
        connection.socket_timeout = None  # with one, each command takes a task; the log broker has its own timeouts

    async def ask(self, *command: Any) -> Any:
        """Send a command, and wait for the reply.

        Raises:
            redis.exceptions.RedisError: from redis-py, or as Redis says.
        """
        connection = self._connection
        if connection is None:
            return await self._client.execute_command(*command)
        await connection.send_command(*command)
        return await connection.read_response()

    async def ask_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one go, and wait for all replies; an error that is the reply to one stands in its place.

        Raises:
            redis.exceptions.RedisError: from redis-py; it is unknown then which commands were carried out.
        """
        connection = self._connection
        if connection is None:
            pipeline = self._client.pipeline()
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
            return replies
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        replies = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
        return replies

    async def is_alive(self) -> bool:
        """Whether its server has not closed the connection meanwhile, as far as that is known here."""
        connection = self._connection
        if connection is None:
            return True
        can_read = getattr(connection, "can_read", None) or connection.can_read_destructive  # its name before 8.0
        return connection.is_connected and not await can_read()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def __repr__(self) -> str:
        return f"<Line by {self._connection or self._client!r}>"
