"""`nats://`: streams in a JetStream stream, for several hosts. nats-server 2.12 or newer.

Each key has a subject, and each commit is one message there, whose sequence is its version. It is accepted only behind
the message that it names as the subject's last one. An alarm that is changed without a commit is one more message,
which repeats the state: so the last message of a subject always says what there is of the key. A deletion is a message
that rolls up the subject, so that it and the loss of all before it are one step; it is deleted itself right then, or
by the server after a while. The server republishes each message once it is stored, and watchers hear that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from heapq import nsmallest
from typing import Final

from nats.aio.msg import Msg

from nitro.brokers.nats.client import place_of
from nitro.redaction import without_secrets
from nitro.streams.base import Change, Commit, Conflict, Record, Stored
from nitro.streams.stores.nats.alarms import Alarms
from nitro.streams.stores.nats.commits import Commits
from nitro.streams.stores.nats.link import Link
from nitro.streams.stores.nats.messages import HEADER_BYTES
from nitro.streams.stores.nats.news import News
from nitro.streams.stores.nats.stream import JetStream
from nitro.streams.stores.nats.subjects import Subjects

__all__ = ["NatsStore"]

_TRIES: Final = 10
"""How often a replica is read that may be behind."""
_REPLICA_SECONDS: Final = 0.02
_PAGE: Final = 250
"""Messages read at once, at most."""
_PAGE_MORE_BYTES: Final = 16 * 1024
"""What a page may have beside its records, and a quarter of them: states and headers."""


class NatsStore:
    """See `base.Store` for what its verbs promise.

    Args:
        url: as the log's, see `NatsLog`; storage and replicas apply when the JetStream stream is created.
        namespace: separates stores on one server.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self.name: str = without_secrets(url)
        self.max_body_bytes: int | None = None
        self._place = place_of(url)
        self._namespace = namespace
        self._subjects = Subjects(namespace)
        self._news = News(self._subjects)
        self._connecting = asyncio.Lock()
        self._jetstream: JetStream | None = None
        self._alarms: Alarms | None = None
        self._starting = asyncio.Lock()
        self._commits = Commits(self._subjects, self._stored)

    async def open(self) -> None:
        await self._connected()

    async def _connected(self) -> JetStream:
        """The stream over a connection that is open, and hears all that is watched."""
        async with self._connecting:
            jetstream = self._jetstream
            if jetstream is None or jetstream.link.is_closed:
                if jetstream is not None:
                    await jetstream.link.close()
                link = Link(self._place, self._subjects.remedy, self._news.miss)
                await link.connect()
                jetstream = JetStream(self._namespace, self._subjects, self._place, link)
                try:
                    await jetstream.open()
                    if jetstream.is_replicated:
                        await link.subscribe(jetstream.elections, self._elected)
                    await self._news.follow(link)
                except BaseException:
                    await link.close()
                    raise
                self.max_body_bytes = link.client.max_payload - HEADER_BYTES
                self._jetstream = jetstream
        await self._news.settled()
        return jetstream

    async def _elected(self, _: Msg) -> None:
        """What the last leader stored, and did not tell any more, is read from this one."""
        self._news.miss()

    async def load(self, key: str) -> Stored | None:
        message = await self._commits.newest(await self._connected(), key)
        return None if message is None else message.stored

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        return await self._commits.commit(await self._connected(), commits)

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        return await self._commits.postpone(await self._connected(), key, alarm_at, to)

    def _stored(self, key: str, sequence: int, alarm_at: float | None) -> None:
        if self._alarms is not None:
            self._alarms.learn(key, sequence, alarm_at)

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        jetstream = await self._connected()
        for _ in range(_TRIES):
            records = await self._read(jetstream, key, after, until, max_bytes)
            if records or not jetstream.is_replicated or after >= until:
                break
            newest = await jetstream.newest(key)
            stored = None if newest is None else newest.stored
            if stored is None or stored.tail <= after:
                break
            await asyncio.sleep(_REPLICA_SECONDS)  # the leader has more than the replica that was asked
        return records

    async def _read(self, jetstream: JetStream, key: str, after: int, until: int, max_bytes: int) -> list[Record]:
        records: list[Record] = []
        while after < until and not records:
            messages = await jetstream.following(key, after, _PAGE, max_bytes + max_bytes // 4 + _PAGE_MORE_BYTES)
            if not messages:
                break
            for message in messages:
                record = message.record
                if record is not None and record.version <= until:
                    max_bytes -= len(record.body)
                    if max_bytes < 0 and records:
                        break
                    records.append(record)
            after = messages[-1].sequence
        return records

    async def due(self, now: float, limit: int) -> Sequence[str]:
        jetstream = await self._connected()
        alarms = await self._followed(jetstream)
        while True:
            keys = alarms.due(now, limit)
            known = [alarms.sequence(key) for key in keys]
            is_changed = False
            newest = await asyncio.gather(*(jetstream.newest(key) for key in keys))
            for key, sequence, message in zip(keys, known, newest, strict=True):
                if message is not None:
                    is_changed |= alarms.learn(key, message.sequence, message.alarm_at)
                else:
                    alarms.forget(key, sequence)
                    is_changed = True
            if not is_changed:
                return keys

    async def _followed(self, jetstream: JetStream) -> Alarms:
        """The alarms of all keys; they are followed from the first time on that somebody asks."""
        async with self._starting:
            alarms = self._alarms
            if alarms is None or alarms.is_lost:
                self._alarms = None
                if alarms is not None:
                    await alarms.stop()
                alarms = Alarms(jetstream.link, jetstream.name, self._subjects)
                await alarms.start()
                self._alarms = alarms
        await alarms.whole()
        return alarms

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        # Those below the last slash of the prefix are asked for; the server tells some 200,000 in a second.
        jetstream = await self._connected()
        subjects = await jetstream.subjects(self._subjects.beginning(prefix))
        found = [self._subjects.key(subject) for subject in subjects]
        hashed = await jetstream.subjects(self._subjects.long)
        found += [message.key for message in await jetstream.at_newest(hashed)]
        return nsmallest(limit, (key for key in found if key is not None and key.startswith(prefix)))

    def watch(self, key: str) -> None:
        self._news.watch(key)

    def unwatch(self, key: str) -> None:
        self._news.unwatch(key)

    async def news(self) -> Sequence[Change] | None:
        while True:
            await self._news.wait()
            await self._connected()
            changes = self._news.take()
            if changes is None or changes:
                return changes

    async def close(self) -> None:
        async with self._connecting:
            jetstream, self._jetstream, self._alarms = self._jetstream, None, None
            self._commits.forget()
            await self._news.close()
            if jetstream is not None:
                await jetstream.link.close()

    def __repr__(self) -> str:
        return f"<NatsStore {self.name}, subjects {self._subjects.all}>"
