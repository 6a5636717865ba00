"""The alarms of all keys, in memory, as the headers of their messages say them.

Fed by a consumer of the JetStream stream, which delivers the newest message of each key and then each one that is
stored, without payloads; feeds `NatsStore.due`. So nothing has to be written for an alarm beside the commit that has
it, and none can be lost. It costs each process that asks for alarms some 200 bytes for each commit of the namespace.

A key may be here with an older alarm than it has by now, and one may be here that was deleted: who asks looks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from nitro.brokers.nats.jetstream import ANSWER_SECONDS
from nitro.streams.stores.nats.link import Link, status_of
from nitro.streams.stores.nats.messages import Message
from nitro.streams.stores.nats.subjects import Subjects

__all__ = ["Alarms"]

_WHOLE_SECONDS: Final = 2.0
_HEARTBEAT_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 3 * _HEARTBEAT_SECONDS
"""After so long without a message or a heartbeat the consumer is gone."""


class _Alarm(NamedTuple):
    sequence: int
    alarm_at: float | None


class Alarms:
    """Started once; when it is lost, another one has to be made.

    Args:
        link: the connection.
        stream: the JetStream stream.
        subjects: of the namespace.
    """

    def __init__(self, link: Link, stream: str, subjects: Subjects) -> None:
        self._link = link
        self._stream = stream
        self._subjects = subjects
        self._known: dict[str, _Alarm] = {}
        self._heap: list[tuple[float, str]] = []
        self._expected = 1
        self._heard_at = time.monotonic()
        self._is_whole = asyncio.Event()
        self._has_gap = False
        self._subscription: Any = None

    @property
    def is_lost(self) -> bool:
        """Whether it hears nothing any more."""
        return self._has_gap or self._link.is_closed or time.monotonic() - self._heard_at > _SILENT_SECONDS

    async def start(self) -> None:
        """Follow the stream."""
        inbox = self._link.client.new_inbox()
        self._subscription = await self._link.subscribe(inbox, self._came)
        try:
            config = ConsumerConfig(
                deliver_subject=inbox,
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                filter_subject=self._subjects.all,
                ack_policy=AckPolicy.NONE,
                headers_only=True,
                flow_control=True,
                idle_heartbeat=_HEARTBEAT_SECONDS,
                mem_storage=True,
                num_replicas=1,
            )
            jetstream = self._link.client.jetstream(timeout=ANSWER_SECONDS)
            info = await self._link.answered(jetstream.add_consumer(self._stream, config))
            if not info.num_pending and (info.delivered is None or not info.delivered.consumer_seq):
                self._is_whole.set()
        except BaseException:
            await self.stop()
            raise

    async def whole(self) -> None:
        """Wait until all that was there at the start is known, but not for long: what is not known yet comes later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WHOLE_SECONDS):
                await self._is_whole.wait()

    async def stop(self) -> None:
        """Hear no more; the server deletes the consumer then."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._link.is_closed:
            await subscription.unsubscribe()

    def learn(self, key: str, sequence: int, alarm_at: float | None) -> bool:
        """What a message of the key said; whether that was new."""
        known = self._known.get(key)
        if known is not None and known.sequence >= sequence:
            return False
        if alarm_at is None:
            self._known.pop(key, None)
        else:
            self._known[key] = _Alarm(sequence, alarm_at)
            if known is None or known.alarm_at != alarm_at:
                heappush(self._heap, (alarm_at, key))
        return True

    def sequence(self, key: str) -> int:
        """Of the message that its alarm is known from."""
        known = self._known.get(key)
        return 0 if known is None else known.sequence

    def forget(self, key: str, sequence: int) -> None:
        """The key is not there, unless something newer than that was heard."""
        if self.sequence(key) <= sequence:
            self._known.pop(key, None)

    def due(self, now: float, limit: int) -> list[str]:
        """Keys whose alarm is not after `now`, the earliest first."""
        found: dict[str, float] = {}
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            alarm_at, key = heappop(self._heap)
            known = self._known.get(key)
            if known is not None and known.alarm_at == alarm_at:
                found[key] = alarm_at
        for key, alarm_at in found.items():
            heappush(self._heap, (alarm_at, key))
        return list(found)

    async def _came(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        headers = message.headers or {}
        if status_of(message) is not None:
            reply = message.reply or headers.get("Nats-Consumer-Stalled")
            if reply:
                await self._link.tell(reply)
            return
        # See `brokers.nats.tail` for what an acknowledgement's subject says.
        fields = message.reply.split(".")
        sequence, delivered, pending = (int(fields[place]) for place in _places(fields))
        self._has_gap = self._has_gap or delivered != self._expected
        self._expected = delivered + 1
        found = Message.of(sequence, headers, b"")
        key = found.key or self._subjects.key(message.subject)
        if key is not None:
            self.learn(key, sequence, found.alarm_at)
        if not pending:
            self._is_whole.set()


def _places(fields: list[str]) -> tuple[int, int, int]:
    """Where a subject of an acknowledgement has the stream's sequence, the consumer's, and how many are to come."""
    return (5, 6, 8) if len(fields) == 9 else (7, 8, 10)
