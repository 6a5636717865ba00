"""`nats://`: the log in a JetStream stream, for several hosts. nats-server 2.12 or newer.

The stream's sequences are ours; what is published says which stream it expects. Each producer has a subject of its own.
A batch goes in whole or not at all, and only behind that producer's last message that we know of: what was cut off can
be tried again, and nothing overtakes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamInfo
from nats.js.errors import NotFoundError

from nitro.errors import ConfigurationError
from nitro.infrastructure.brokers.base import Entry, Extent, LogChanged, Retention, without_secrets
from nitro.infrastructure.brokers.jetstream import ANSWER_SECONDS, Streams, epoch

__all__ = ["NatsLog"]

log = logging.getLogger("nitro.brokers")

_CONNECT_SECONDS: Final = 4
_TRANSIT_SECONDS: Final = 1.0
"""How long an entry that is in the stream may be on its way."""
_OLDEST_SERVER: Final = (2, 12)
_NUMBER: Final = "Nitro-Number"
"""Header of a batch's last message: its number among the producer's."""
_HEADER_BYTES: Final = 1024
"""What the headers of a message take at most, of the server's limit."""
_MOST_WAITING: Final = 5_000
_MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
_PAGE_BYTES: Final = 4 * 1024 * 1024
_WRONG_STREAM: Final = 10060
_WRONG_LAST: Final = 10071


class NatsLog:
    """See `base.Log` for what its verbs promise. Acknowledged is what JetStream has acknowledged.

    A batch whose acknowledgement was lost, and which retention has dropped before it is tried again, is there twice.

    Args:
        url: `nats://user:password@host:4222,host:4222`, or `tls://`; `?credentials=/path/of/user.creds` instead of a
            password; `?storage=memory` and `?replicas=3` are for the stream when it is made. An administrator may make
            it instead, with the subject `nitro.<namespace>.*` and atomic publishing allowed.
        namespace: whose log, of those on the server.
        retention: what is kept in the stream; not applied to one that an administrator has made.
        max_body_bytes: a longer entry is not handed on.
    """

    def __init__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int) -> None:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        try:
            storage = StorageType(options.get("storage", ["file"])[-1])
            replicas = int(options.get("replicas", ["1"])[-1])
        except ValueError as error:
            raise ConfigurationError(
                "NITRO_BROKER_URL: storage is file or memory, and replicas is a number, as in ?storage=file&replicas=3"
            ) from error
        user, _, hosts = parts.netloc.rpartition("@")
        self.name = without_secrets(url)
        self.max_body_bytes: int | None = None
        self._servers = [f"{parts.scheme}://{host}" for host in hosts.split(",")]
        self._access = _access(user, options.get("credentials", [""])[-1])
        self._longest_body = max_body_bytes
        self._streams = Streams(namespace, retention, storage, replicas)
        self._nats: Any = None
        self._jetstream: Any = None
        self._stream = self._epoch = ""
        self._last: dict[str, tuple[int, int]] = {}  # producer -> sequence and number of its last message
        self._tail: _Tail | None = None

    async def open(self) -> Extent:
        self._last.clear()
        self._nats = Client()  # before it is connected: nats.connect leaves the socket open when it fails
        await self._nats.connect(
            self._servers,
            name="nitro",
            allow_reconnect=False,
            connect_timeout=_CONNECT_SECONDS,
            error_cb=_noted,
            **self._access,
        )
        version = self._nats.connected_server_version
        if (version.major, version.minor) < _OLDEST_SERVER:
            raise ConfigurationError(f"it is nats-server {version}; 2.12 or newer is needed, for batches")
        self._jetstream = self._nats.jetstream(timeout=ANSWER_SECONDS)
        self.max_body_bytes = self._nats.max_payload - _HEADER_BYTES
        info = await self._streams.find(self._nats)
        assert info.config.name is not None
        self._stream, self._epoch = info.config.name, epoch(info)
        oldest = info.state.first_seq if info.state.messages else info.state.last_seq + 1
        return Extent(self._epoch, oldest, info.state.last_seq)

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        subject = self._streams.subject(producer)
        is_second_try = False
        while True:
            if producer not in self._last:
                self._last[producer] = await self._find_last(subject)
            sequence, number = self._last.pop(producer)
            fresh = bodies[max(0, number + 1 - first) :]
            newest = first + len(bodies) - 1
            if not fresh:
                self._last[producer] = sequence, number
                return sequence
            answer = await self._publish(subject, fresh, sequence, newest)
            error = answer.get("error")
            if error is None:
                self._last[producer] = answer["seq"], newest
                return int(answer["seq"])
            if error.get("err_code") == _WRONG_STREAM:
                raise LogChanged("it has another epoch")
            if error.get("err_code") != _WRONG_LAST or is_second_try:  # retention may have dropped the last one
                raise ConnectionError(f"JetStream: {error.get('description')}")
            is_second_try = True

    async def _publish(self, subject: str, bodies: Sequence[bytes], behind: int, newest: int) -> dict[str, Any]:
        """Publish a batch behind that sequence of the subject; what the server says to it."""
        expected = {"Nats-Expected-Stream": self._stream, "Nats-Expected-Last-Subject-Sequence": str(behind)}
        final = {_NUMBER: str(newest)}
        if len(bodies) == 1:
            final |= expected
        else:
            batch = {"Nats-Batch-Id": secrets.token_hex(8)}
            for place, body in enumerate(bodies[:-1], 1):
                headers = {**batch, "Nats-Batch-Sequence": str(place), **(expected if place == 1 else {})}
                await self._nats.publish(subject, body, headers=headers)
            final |= {**batch, "Nats-Batch-Sequence": str(len(bodies)), "Nats-Batch-Commit": "1"}
        message = await self._nats.request(subject, bodies[-1], timeout=ANSWER_SECONDS, headers=final)
        answer: dict[str, Any] = json.loads(message.data)
        return answer

    async def _find_last(self, subject: str) -> tuple[int, int]:
        """Sequence and number of the last message in this subject; zeros if there is none."""
        try:
            message = await self._jetstream.get_last_msg(self._stream, subject)
        except NotFoundError:
            return 0, 0
        return message.seq, int(message.headers[_NUMBER])

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        if self._tail is None or self._tail.after != after:
            await self._follow(after)
        assert self._tail is not None
        entries = await self._tail.take(limit, wait_seconds)
        if entries:
            return entries
        newest = await self.newest()
        if newest < after:
            raise LogChanged("it has another epoch")
        if newest > after:
            entries = await self._tail.take(limit, _TRANSIT_SECONDS)
            if not entries:
                raise LogChanged("it was emptied")
        return entries

    async def newest(self) -> int:
        try:
            info: StreamInfo = await self._jetstream.stream_info(self._stream)
        except NotFoundError:
            raise LogChanged("it was deleted") from None
        if epoch(info) != self._epoch:
            raise LogChanged("it has another epoch")
        return int(info.state.last_seq)

    async def renew(self) -> None:
        await self._streams.succeed(self._nats, self._stream)

    async def close(self) -> None:
        connection, self._nats, self._tail = self._nats, None, None
        if connection is not None:
            await connection.close()

    async def _follow(self, after: int) -> None:
        if self._tail is not None:
            await self._tail.stop()
        self._tail = tail = _Tail(after, self._longest_body)
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
        )
        tail.subscription = await self._jetstream.subscribe(
            self._streams.subjects, stream=self._stream, cb=tail.came, config=config, manual_ack=True
        )
        if tail.is_stopped:  # by what came before that returned
            await tail.subscription.unsubscribe()

    def __repr__(self) -> str:
        return f"<NatsLog {self.name}, subjects {self._streams.subjects}>"


class _Tail:
    """What the server sends from a sequence on. It stops by itself when too much waits to be taken.

    Attributes:
        after: the sequence behind which the next entry is taken, or -1 when it has stopped and all is taken.
        is_stopped: nothing more is kept.
    """

    def __init__(self, after: int, longest_body: int) -> None:
        self.after = after
        self.subscription: Any = None
        self._longest_body = longest_body
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self.is_stopped = False
        self._news = asyncio.Event()

    async def came(self, message: Any) -> None:
        if self.is_stopped:
            return
        # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<nanoseconds>.<pending>, or with a domain
        # and an account before the stream
        fields = message.reply.split(".")
        sequence, came = fields[-4 if len(fields) == 9 else 7], fields[-2 if len(fields) == 9 else 9]
        body = message.data
        age = max(0.0, time.time() - int(came) / 1e9)
        self._entries.append(Entry(int(sequence), body if len(body) <= self._longest_body else None, age))
        self._bytes += len(body)
        self._news.set()
        if len(self._entries) > _MOST_WAITING or self._bytes > _MOST_WAITING_BYTES:
            await self.stop()

    async def take(self, limit: int, wait_seconds: float) -> list[Entry]:
        """The oldest that wait; waits so long if none does."""
        if not self._entries and wait_seconds and not self.is_stopped:
            self._news.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._news.wait()
            except TimeoutError:
                return []
        entries: list[Entry] = []
        size = 0
        while self._entries and len(entries) < limit and size <= _PAGE_BYTES:
            entry = self._entries.popleft()
            entries.append(entry)
            size += len(entry.body or b"")
        self._bytes -= size
        if entries:
            self.after = entries[-1].sequence
        if self.is_stopped and not self._entries:
            self.after = -1
        return entries

    async def stop(self) -> None:
        if not self.is_stopped and self.subscription is not None:
            await self.subscription.unsubscribe()
        self.is_stopped = True


def _access(user: str, credentials: str) -> dict[str, Any]:
    """What nats-py wants to know of who we are: `user:password`, a token, or a file of credentials."""
    if credentials:
        return {"user_credentials": credentials}
    name, colon, password = user.partition(":")
    if colon:
        return {"user": unquote(name), "password": unquote(password)}
    return {"token": unquote(name)} if name else {}


async def _noted(error: Exception) -> None:
    log.debug("nats: %r", error)  # whoever waits for an answer gets the error too
