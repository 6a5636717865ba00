"""`nats://`: streams in a JetStream stream, for several hosts. nats-server 2.12 or newer.

Each key has a subject, and each commit is one message there, whose sequence is its version. It is accepted only behind
the message that it names as the subject's last one. An alarm that is changed without a commit is one more message,
which repeats the state: so the last message of a subject always says what there is of the key. A deletion is a message
that rolls up the subject, so that it and the loss of all before it are one step; it is deleted itself right then, or
by the server after a while. The server republishes each message once it is stored, and watchers hear that.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from heapq import nsmallest
from typing import Final, NamedTuple

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from nitro.brokers.nats.client import place_of
from nitro.redaction import without_secrets
from nitro.streams.base import ABSENT, Change, Commit, Conflict, Record, Stored
from nitro.streams.stores.nats_alarms import Alarms
from nitro.streams.stores.nats_link import Link, Request
from nitro.streams.stores.nats_messages import HEADER_BYTES, Message, headers_of, postponement
from nitro.streams.stores.nats_news import News
from nitro.streams.stores.nats_stream import JetStream
from nitro.streams.stores.nats_subjects import Subjects

__all__ = ["NatsStore"]

log: Final = logging.getLogger("nitro.streams")

_WRONG_LAST: Final = (10071, 10164)
_TRIES: Final = 10
"""How often a commit is tried whose key was only postponed, or deleted, meanwhile."""
_RETRY_SECONDS: Final = 0.005
_REMEMBERED: Final = 10_000
_PAGE: Final = 250
_PAGE_MORE_BYTES: Final = 16 * 1024
"""What a page may have beside its records, and a quarter of them: states and headers."""


class _Last(NamedTuple):
    """The last message of a key that this store knows of."""

    version: int
    sequence: int
    is_superfluous: bool


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
        self._last: OrderedDict[str, _Last] = OrderedDict()

    async def open(self) -> None:
        await self._connected()

    async def _connected(self) -> JetStream:
        """The stream over a connection that is open, and hears all that is watched."""
        async with self._connecting:
            jetstream = self._jetstream
            if jetstream is None or jetstream.link.is_closed:
                if jetstream is not None:
                    await jetstream.link.close()
                link = Link(self._place, self._news.miss)
                await link.connect()
                jetstream = JetStream(self._namespace, self._subjects, self._place, link)
                try:
                    await jetstream.open()
                    await self._news.follow(link)
                except BaseException:
                    await link.close()
                    raise
                self.max_body_bytes = link.client.max_payload - HEADER_BYTES
                self._jetstream = jetstream
        await self._news.settled()
        return jetstream

    async def load(self, key: str) -> Stored | None:
        message = await self._newest(await self._connected(), key)
        return None if message is None else message.stored

    async def _newest(self, jetstream: JetStream, key: str) -> Message | None:
        message = await jetstream.newest(key)
        if message is not None and message.current != ABSENT:
            self._remember(key, _Last(message.version, message.sequence, message.is_superfluous))
        return message

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        jetstream = await self._connected()
        results: dict[str, int | Conflict] = {}
        lasts = {commit.key: self._sequence_behind(commit.key, commit.expected) for commit in commits}
        waiting: Sequence[Commit] = commits
        for attempt in range(_TRIES):
            await asyncio.sleep(attempt * _RETRY_SECONDS)
            answers = await jetstream.link.ask([self._request(each, lasts[each.key]) for each in waiting])
            again: list[Commit] = []
            garbage: list[int] = []
            for commit, answer in zip(waiting, answers, strict=True):
                sequence = _sequence_of(answer)
                if sequence is None:
                    again.append(commit)
                else:
                    results[commit.key] = sequence
                    garbage += self._committed(commit, lasts[commit.key], sequence)
            await self._delete(jetstream, garbage, is_waited_for=any(each.state is None for each in commits))
            waiting = await self._undecided(jetstream, again, lasts, results)
            if not waiting:
                break
        for commit in waiting:
            results[commit.key] = Conflict(f"{commit.key!r} is changed by others all the time")
        return [results[commit.key] for commit in commits]

    async def _undecided(
        self, jetstream: JetStream, refused: Sequence[Commit], lasts: dict[str, int], results: dict[str, int | Conflict]
    ) -> list[Commit]:
        """Those that can still succeed, behind another message: their key was only postponed, or deleted before."""
        waiting: list[Commit] = []
        newest = await asyncio.gather(*(self._newest(jetstream, commit.key) for commit in refused))
        for commit, message in zip(refused, newest, strict=True):
            version = ABSENT if message is None else message.current
            if version == commit.expected:
                lasts[commit.key] = 0 if message is None else message.sequence
                waiting.append(commit)
            else:
                results[commit.key] = Conflict(f"{commit.key!r} is at {version}, not at {commit.expected}")
        return waiting

    def _request(self, commit: Commit, last: int) -> Request:
        subject = self._subjects.of(commit.key)
        return Request(subject, (commit.state or b"") + (commit.body or b""), headers_of(commit, subject, last))

    def _committed(self, commit: Commit, last: int, sequence: int) -> list[int]:
        """Remember it; the sequences of the messages that nobody needs since."""
        known = self._last.pop(commit.key, None)
        if self._alarms is not None:
            self._alarms.learn(commit.key, sequence, commit.alarm_at if commit.state is not None else None)
        if commit.state is None:
            return [sequence]
        self._remember(commit.key, _Last(sequence, sequence, commit.body is None))
        return [last] if known is not None and known.sequence == last and known.is_superfluous else []

    async def _delete(self, jetstream: JetStream, sequences: Sequence[int], *, is_waited_for: bool) -> None:
        """Delete messages. What fails here leaves some behind, until their keys are deleted, or for a minute."""
        try:
            deletions = [jetstream.deletion(sequence) for sequence in sequences]
            if is_waited_for:
                await jetstream.link.ask(deletions)
            else:
                for deletion in deletions:
                    await jetstream.link.tell(deletion.subject, deletion.payload)
        except (NatsError, OSError) as error:  # they include a connection that was lost
            log.debug("nats: %r", error)

    def _sequence_behind(self, key: str, expected: int) -> int:
        """The message behind which a commit has to be: the expected version, or what postponed it."""
        known = self._last.get(key)
        return known.sequence if known is not None and known.version == expected else expected

    def _remember(self, key: str, last: _Last) -> None:
        known = self._last.get(key)
        if known is None or known.sequence < last.sequence:
            self._last[key] = last
            self._last.move_to_end(key)
            if len(self._last) > _REMEMBERED:
                self._last.popitem(last=False)

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        jetstream = await self._connected()
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

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        jetstream = await self._connected()
        for _ in range(_TRIES):
            newest = await self._newest(jetstream, key)
            stored = None if newest is None else newest.stored
            if newest is None or stored is None or stored.alarm_at != alarm_at:
                return False
            subject = self._subjects.of(key)
            request = Request(subject, stored.state, postponement(key, subject, newest, to))
            (answer,) = await jetstream.link.ask([request])
            sequence = _sequence_of(answer)
            if sequence is not None:
                self._remember(key, _Last(stored.version, sequence, True))
                if self._alarms is not None:
                    self._alarms.learn(key, sequence, to)
                if newest.is_superfluous:
                    await self._delete(jetstream, [newest.sequence], is_waited_for=False)
                return True
        return False

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
            return alarms

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
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
        jetstream, self._jetstream, self._alarms = self._jetstream, None, None
        self._last.clear()
        await self._news.close()
        if jetstream is not None:
            await jetstream.link.close()

    def __repr__(self) -> str:
        return f"<NatsStore {self.name}, subjects {self._subjects.all}>"


def _sequence_of(answer: Msg) -> int | None:
    """Where the server stored the message; None if another one is the last of its subject."""
    told = json.loads(answer.data)
    error = told.get("error")
    if error is None:
        return int(told["seq"])
    if error.get("err_code") in _WRONG_LAST:
        return None
    raise ConnectionError(f"JetStream: {error.get('description')}")
