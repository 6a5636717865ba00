"""One connection to NATS: requests with one answer or many, and subscriptions. When it is lost, all of it ends.

Fed by the NATS store, which connects anew. All requests have one inbox: thousands of them can wait at once, and those
that wait when the connection is lost fail at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import SlowConsumerError
from nats.js.errors import APIError

from nitro.brokers.nats.client import Place
from nitro.brokers.nats.jetstream import ANSWER_SECONDS
from nitro.redaction import text_of

__all__ = ["NOTHING", "Link", "Request", "status_of"]

T = TypeVar("T")

log: Final = logging.getLogger("nitro.streams")

_PAUSE_SECONDS: Final = 0.5
"""Between two tries of the same server."""
_STATUS: Final = "Status"
_LOST: Final = "the connection to NATS was lost"
_END: Final = "204"
NOTHING: Final = "404"
"""The status of an answer if there is no such message."""
_NO_RESPONDERS: Final = "503"


class Request(NamedTuple):
    """A message that is answered."""

    subject: str
    payload: bytes
    headers: dict[str, str] | None = None


class Link:
    """One connection, which is opened once.

    Args:
        place: where to connect to.
        remedy: what a user has to be allowed who isn't.
        on_gap: called when messages to a subscriber were or may be lost: it was too slow, or the connection is gone.

    Attributes:
        is_closed: whether it is of no more use.
        client: nats-py's.
    """

    def __init__(self, place: Place, remedy: str, on_gap: Callable[[], None]) -> None:
        self.client: Client = place.client()
        self.is_closed: bool = False
        self._place = place
        self._remedy = remedy
        self._on_gap = on_gap
        self._inbox = ""
        self._asked = 0
        self._answers: dict[str, asyncio.Queue[Msg | None]] = {}
        self._limits: set[asyncio.Timeout] = set()
        self._last_error: Exception | None = None
        self._denied: str | None = None

    async def connect(self) -> None:
        """Connect; closed again if that fails."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):  # by itself it tries for minutes
                await self._place.connect(self.client, self._noted, reconnect_time_wait=_PAUSE_SECONDS)
            # Not `closed_cb`: it is not called if something was still to be sent when the connection was lost.
            for task in (self.client._reading_task, self.client._flusher_task):
                assert task is not None
                task.add_done_callback(self._lost)
            self._inbox = self.client.new_inbox()
            await self.subscribe(f"{self._inbox}.*", self._came)
        except TimeoutError:
            await self.close()
            why = "no server answers" if self._last_error is None else text_of(self._last_error)
            raise TimeoutError(f"NATS can't be connected to: {why}") from None
        except BaseException:
            await self.close()
            raise

    async def subscribe(self, subject: str, on_message: Callable[[Msg], Awaitable[None]]) -> Any:
        """Hear what is published to the subject."""
        return await self.client.subscribe(subject, cb=on_message, pending_msgs_limit=0)

    async def ask(self, requests: Sequence[Request]) -> list[Msg]:
        """Send all of the requests at once; their answers, in the same order."""
        async with self._waiting(len(requests)) as (inboxes, queues):
            for request, inbox in zip(requests, inboxes, strict=True):
                await self.client.publish(request.subject, request.payload, inbox, request.headers)
            return [await self._next(queue) for queue in queues]

    async def ask_json(self, subject: str, question: object) -> dict[str, Any]:
        """Ask the API of JetStream."""
        (message,) = await self.ask([Request(subject, json.dumps(question).encode())])
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            APIError.from_error(answer["error"])  # raises it
        return answer

    async def ask_for_many(self, request: Request) -> list[Msg]:
        """Send one request that is answered by any number of messages, and a status at their end."""
        async with self._waiting(1) as (inboxes, queues):
            await self.client.publish(request.subject, request.payload, inboxes[0], request.headers)
            messages: list[Msg] = []
            while True:
                message = await self._next(queues[0])
                status = status_of(message)
                if status in (_END, NOTHING):
                    return messages
                if status is not None:
                    raise ConnectionError(
                        f"JetStream answers {status} {(message.headers or {}).get('Description', '')}"
                    )
                messages.append(message)

    async def answered(self, answer: Awaitable[T]) -> T:
        """What nats-py is asked itself; it would wait for its whole timeout if the connection is lost meanwhile."""
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._limits.add(limit)
                return await answer
        except TimeoutError:
            if limit.expired():
                raise ConnectionError(_LOST) from None
            raise
        finally:
            self._limits.discard(limit)

    async def tell(self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a message that is not answered."""
        await self.client.publish(subject, payload, headers=headers)

    async def close(self) -> None:
        """Disconnect."""
        self._end()
        with suppress(OSError):  # the connection was lost before
            await self.client.close()

    @asynccontextmanager
    async def _waiting(self, count: int) -> AsyncIterator[tuple[list[str], list[asyncio.Queue[Msg | None]]]]:
        if self.is_closed:
            raise ConnectionError("the connection to NATS is closed")
        names = [str(self._asked + place) for place in range(count)]
        self._asked += count
        queues = [self._answers.setdefault(name, asyncio.Queue()) for name in names]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield [f"{self._inbox}.{name}" for name in names], queues
        except TimeoutError:
            if self._denied is not None:
                raise ConnectionError(self._denied) from None
            raise TimeoutError("JetStream doesn't answer") from None
        finally:
            for name in names:
                del self._answers[name]

    async def _next(self, queue: asyncio.Queue[Msg | None]) -> Msg:
        message = await queue.get()
        if message is None:
            raise ConnectionError(_LOST)
        if status_of(message) == _NO_RESPONDERS:
            self._end()  # the next connection makes the stream if it is gone
            raise ConnectionError("JetStream doesn't answer: it is not on, or the stream was deleted")
        return message

    async def _came(self, message: Msg) -> None:
        queue = self._answers.get(message.subject.rpartition(".")[2])
        if queue is not None:
            queue.put_nowait(message)

    def _lost(self, task: asyncio.Task[None]) -> None:
        """Nothing is read any more, or nothing sent: no answer comes."""
        if not task.cancelled() and task.exception() is not None:  # asyncio reports what nobody has looked at
            log.debug("nats: %r", task.exception())
        self._end()

    def _end(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            for queue in self._answers.values():
                queue.put_nowait(None)
            for limit in self._limits:
                limit.reschedule(0)
            self._on_gap()

    async def _noted(self, error: Exception) -> None:
        log.debug("nats: %r", error)
        self._last_error = error
        if isinstance(error, SlowConsumerError):
            self._on_gap()
        elif "permissions violation" in str(error).lower():
            self._denied = f"the server says: {error}. {self._remedy}"
            log.error("%s", self._denied)  # a subscription that is denied is told here alone


def status_of(message: Msg) -> str | None:
    """The status that a message without a payload says; None if it says none."""
    headers: Mapping[str, str] = message.headers or {}
    return None if message.data else headers.get(_STATUS)
