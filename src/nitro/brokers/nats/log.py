"""`nats://`: the log in a JetStream stream, for several hosts. nats-server 2.12 or newer.

The stream's sequences are the log's, and each publish names the stream that it expects. Each producer has a subject of
its own. A batch is atomic, and is accepted only directly behind the producer's last known message: so an interrupted
batch can be retried, and no other overtakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamInfo
from nats.js.errors import APIError, NotFoundError

from nitro.brokers.base import Entry, Examination, Extent, LogChanged, Retention, Verb
from nitro.brokers.nats.client import place_of
from nitro.brokers.nats.jetstream import (
    ANSWER_SECONDS,
    Stall,
    Stalled,
    Streams,
    api_refusal,
    epoch,
    first_answer,
    leader_of,
    stream_info,
)
from nitro.brokers.nats.tail import Tail
from nitro.errors import ConfigurationError
from nitro.redaction import without_secrets

__all__ = ["NatsLog"]

log: Final = logging.getLogger("nitro.brokers")

_IN_A_FILE: Final = "leave storage=memory out of the URL, and delete the stream, which is made in a file then"
_TRANSIT_SECONDS: Final = 0.3
"""How long delivery of an entry may take before the consumer is recreated."""
_ARRIVAL_SECONDS: Final = 1.0
"""How long a new consumer may take to deliver its first entry."""
_MOST_PENDING_BYTES: Final = 256 * 1024 * 1024
"""What nats-py may hold of messages that have not been looked at; beyond, it would drop them."""
_OLDEST_SERVER: Final = (2, 12)
_NUMBER: Final = "Nitro-Number"
"""Header of a batch's last message: its number among the producer's."""
_HEADER_BYTES: Final = 1024
"""Upper bound of a message's headers, which count towards the server's limit."""
_WRONG_STREAM: Final = 10060
_WRONG_LAST: Final = 10071
_INCOMPLETE: Final = 10176


class NatsLog:
    """See `base.Log` for what its verbs promise. Entries are acknowledged when JetStream has acknowledged them.

    A batch whose acknowledgement was lost, and which retention drops before it is retried, is appended twice.

    Args:
        url: `nats://user:password@host:4222,host:4222`, or `tls://`; `?credentials=/path/of/user.creds` instead of a
            password; `?storage=memory` and `?replicas=3` apply when the stream is created. An administrator may create
            it instead, with the subject `nitro.<namespace>.*` and atomic publishing allowed.
        namespace: separates logs on one server.
        retention: what is retained in the stream; not applied to one that an administrator has created.
        max_body_bytes: a longer entry is read without its body.
    """

    def __init__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int) -> None:
        self._place = place = place_of(url)
        self.name: str = without_secrets(url)
        self.max_body_bytes: int | None = None
        self._longest_body = max_body_bytes
        self._streams = Streams(namespace, retention, place.storage, place.replicas)
        self._denied = ""
        self._limits: dict[Verb, asyncio.Timeout] = {}
        self._nats: Any = None
        self._jetstream: Any = None
        self._stream = self._epoch = ""
        self._leader: tuple[str | None, datetime | None] = (None, None)
        self._stall = Stall()
        self._last: dict[str, tuple[int, int]] = {}  # producer -> sequence and number of its last message
        self._tail: Tail | None = None

    async def open(self) -> Extent:
        self._last.clear()
        self._denied = ""
        self._nats = self._place.client()
        async with self._unless_denied("open"):
            await self._place.connect(self._nats, self._noted)
            return await self._open()

    async def _open(self) -> Extent:
        version = self._nats.connected_server_version
        if (version.major, version.minor) < _OLDEST_SERVER:
            raise ConfigurationError(f"it is nats-server {version}; 2.12 or newer is needed, for batches")
        self._jetstream = self._nats.jetstream(timeout=ANSWER_SECONDS)
        self.max_body_bytes = self._nats.max_payload - _HEADER_BYTES
        info = await self._streams.find(self._nats)
        assert info.config.name is not None
        self._stream, self._epoch, self._leader = info.config.name, epoch(info), leader_of(info)
        oldest = info.state.first_seq if info.state.messages else info.state.last_seq + 1
        return Extent(self._epoch, oldest, info.state.last_seq)

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        async with self._unless_denied("append"):
            newest = await self._append(self._streams.subject(producer), producer, first, bodies)
        self._stall.end()
        return newest

    async def _append(self, subject: str, producer: str, first: int, bodies: Sequence[bytes]) -> int:
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
            if error.get("err_code") == _INCOMPLETE:
                raise ConnectionError(f"JetStream: {error.get('description')}: its disk is full, or its leader changed")
            if error.get("err_code") != _WRONG_LAST or is_second_try:  # the last one may have expired
                raise ConnectionError(f"JetStream: {error.get('description')}")
            is_second_try = True

    async def _publish(self, subject: str, bodies: Sequence[bytes], behind: int, newest: int) -> dict[str, Any]:
        """Publish a batch behind that sequence of the subject; returns the server's answer."""
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
        try:
            message = await self._nats.request(subject, bodies[-1], timeout=ANSWER_SECONDS, headers=final)
        except NatsTimeoutError as error:
            raise await self._stall.judge(error, self._nats, self._stream) from None
        answer: dict[str, Any] = json.loads(message.data)
        return answer

    async def _find_last(self, subject: str) -> tuple[int, int]:
        """Sequence and number of the subject's last message; zeros if there is none."""
        try:
            message = await first_answer(partial(self._jetstream.get_last_msg, self._stream, subject))
        except NotFoundError:
            return 0, 0
        if _NUMBER not in (message.headers or {}):
            await self.renew()
            raise LogChanged("the end of a batch was deleted")
        return message.seq, int(message.headers[_NUMBER])

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        async with self._unless_denied("read"):
            return await self._read(after, limit, wait_seconds)

    async def _read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        if self._tail is None or self._tail.after != after:
            await self._follow(after)
        assert self._tail is not None
        entries = await self._tail.take(limit, wait_seconds)
        if entries:
            return entries
        try:
            info = await self._info()
        except TimeoutError:  # over a slow line, the answer comes behind the entries that were sent before
            if entries := await self._tail.take(limit, 0):
                return entries
            raise
        if info.state.last_seq < after:
            raise LogChanged("it has another epoch")
        if info.state.last_seq > after:
            entries = await self._tail.take(limit, _TRANSIT_SECONDS)
            if not entries:  # its consumer may be gone: deleted, or lost with its server
                await self._follow(after)
                entries = await self._tail.take(limit, _ARRIVAL_SECONDS)
            if not entries:
                await self._renew_if_newest_is_missing(info)  # no reader would reach the head
                raise LogChanged("it was emptied" if not info.state.messages else f"it delivers nothing after {after}")
        return entries

    async def _renew_if_newest_is_missing(self, info: StreamInfo) -> None:
        if info.state.messages:
            try:
                await self._jetstream.get_msg(self._stream, info.state.last_seq)
            except NotFoundError:
                await self.renew()

    async def newest(self) -> int:
        return int((await self._info()).state.last_seq)

    async def _info(self) -> StreamInfo:
        try:
            info: StreamInfo = await stream_info(self._jetstream, self._stream)
        except NotFoundError:
            raise LogChanged("it was deleted") from None
        if epoch(info) != self._epoch:
            raise LogChanged("it has another epoch")
        leader, self._leader = self._leader, leader_of(info)
        if leader != self._leader and "append" in self._limits:  # what it waits for may have been dropped
            raise ConnectionError("its stream has another leader")
        return info

    def why_refused(self, error: Exception) -> str | None:
        if self._denied:
            return (
                f"the server says: {self._denied}. Let its user publish to {self._streams.subjects} and $JS.API.>, and "
                f"subscribe to _INBOX.>"
            )
        if isinstance(error, Stalled):
            return error.remedy
        if isinstance(error, APIError):
            return api_refusal(error)
        if isinstance(error, NatsError) and "auth" in str(error).lower():
            return f"the server says: {error}. Correct user, password, token or credentials in NITRO_BROKER_URL"
        return None

    @contextlib.asynccontextmanager
    async def _unless_denied(self, verb: Verb) -> AsyncIterator[None]:
        """Time out at once on a permissions violation, which the server reports apart from its answers."""
        async with asyncio.timeout(None) as limit:
            self._limits[verb] = limit
            try:
                yield
            finally:
                del self._limits[verb]

    async def _noted(self, error: Exception) -> None:
        log.debug("nats: %r", error)  # the pending request raises it too, except for:
        text = str(error)
        if "permissions violation" in text.lower():
            self._denied = text
            is_append = 'publish to "nitro.' in text.lower()
            for verb, limit in self._limits.items():
                if is_append == (verb == "append"):
                    limit.reschedule(asyncio.get_running_loop().time())

    async def examine(self) -> Examination:
        info = await self._info()
        if info.config.storage == StorageType.MEMORY:
            what = "the stream is in NATS's memory, so a restart loses all of it"
            return Examination("none of them", [(what, _IN_A_FILE)])
        return Examination(
            "all of them; but for the last two minutes if its machine loses power, unless sync_interval is always"
        )

    async def count_producers(self) -> int:
        info = await self._jetstream.stream_info(self._stream, subjects_filter=self._streams.subjects)
        return len(info.state.subjects or {})

    async def renew(self) -> None:
        await self._streams.succeed(self._nats, self._stream)

    async def close(self) -> None:
        connection, self._nats, self._tail = self._nats, None, None
        if connection is not None:
            await connection.close()

    async def _follow(self, after: int) -> None:
        if self._tail is not None:
            await self._tail.stop()
        self._tail = tail = Tail(after, self._longest_body)
        inbox = self._nats.new_inbox()
        tail.subscription = await self._nats.subscribe(inbox, cb=tail.came, pending_bytes_limit=_MOST_PENDING_BYTES)
        config = ConsumerConfig(
            name=secrets.token_hex(8),  # so that asking again makes no other one
            deliver_subject=inbox,
            filter_subject=self._streams.subjects,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
        )
        await first_answer(partial(self._jetstream.add_consumer, self._stream, config))

    def __repr__(self) -> str:
        return f"<NatsLog {self.name}, subjects {self._streams.subjects}>"
