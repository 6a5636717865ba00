"""Commits: messages behind the last one of their key, and what is remembered of it.

Fed by the NATS store; feeds the JetStream stream. Those of one call are published as an atomic batch, which the server
writes to its disk at once. If one of them is refused, all of them are: then those that nothing speaks against are
published again, at last each by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from nats.errors import Error as NatsError

from nitro.streams.base import ABSENT, Commit, Conflict
from nitro.streams.stores.nats.link import Request
from nitro.streams.stores.nats.messages import Message, headers_of, postponement
from nitro.streams.stores.nats.stream import JetStream
from nitro.streams.stores.nats.subjects import Subjects

__all__ = ["Commits"]

log: Final = logging.getLogger("nitro.streams")

_TRIES: Final = 10
"""How often a commit is tried whose key was only postponed, or deleted, meanwhile."""
_TRIES_AS_BATCH: Final = 2
_RETRY_SECONDS: Final = 0.005
_REMEMBERED: Final = 10_000


class _Last(NamedTuple):
    """The last message of a key that this store knows of."""

    version: int
    sequence: int
    is_superfluous: bool


class Commits:
    """Used from one event loop.

    Args:
        subjects: of the namespace.
        on_stored: called with a key, the sequence of its new message, and its alarm since.
    """

    def __init__(self, subjects: Subjects, on_stored: Callable[[str, int, float | None], None]) -> None:
        self._subjects = subjects
        self._on_stored = on_stored
        self._last: OrderedDict[str, _Last] = OrderedDict()

    async def newest(self, jetstream: JetStream, key: str) -> Message | None:
        """The newest message of a key; None if there is none."""
        message = await jetstream.newest(key)
        if message is not None and message.current != ABSENT:
            self._remember(key, _Last(message.version, message.sequence, message.is_superfluous))
        return message

    async def commit(self, jetstream: JetStream, commits: Sequence[Commit]) -> list[int | Conflict]:
        """See `base.Store`."""
        results: dict[str, int | Conflict] = {}
        lasts = {commit.key: self._sequence_behind(commit.key, commit.expected) for commit in commits}
        waiting: Sequence[Commit] = commits
        for attempt in range(_TRIES):
            await asyncio.sleep(attempt * _RETRY_SECONDS)
            requests = [self._request(each, lasts[each.key]) for each in waiting]
            sequences = await jetstream.publish(requests, as_batch=attempt < _TRIES_AS_BATCH)
            refused: list[Commit] = []
            garbage: list[int] = []
            for commit, sequence in zip(waiting, sequences, strict=True):
                if sequence is None:
                    refused.append(commit)
                else:
                    results[commit.key] = sequence
                    garbage += self._committed(commit, lasts[commit.key], sequence)
            await self._delete(jetstream, garbage, is_waited_for=any(each.state is None for each in commits))
            waiting = await self._undecided(jetstream, refused, lasts, results)
            if not waiting:
                break
        for commit in waiting:
            results[commit.key] = Conflict(f"{commit.key!r} is changed by others all the time")
        return [results[commit.key] for commit in commits]

    async def postpone(self, jetstream: JetStream, key: str, alarm_at: float, to: float) -> bool:
        """See `base.Store`."""
        for _ in range(_TRIES):
            newest = await self.newest(jetstream, key)
            stored = None if newest is None else newest.stored
            if newest is None or stored is None or stored.alarm_at != alarm_at:
                return False
            subject = self._subjects.of(key)
            request = Request(subject, stored.state, postponement(key, subject, newest, to))
            (sequence,) = await jetstream.publish([request], as_batch=False)
            if sequence is not None:
                self._remember(key, _Last(stored.version, sequence, True))
                self._on_stored(key, sequence, to)
                if newest.is_superfluous:
                    await self._delete(jetstream, [newest.sequence], is_waited_for=False)
                return True
        return False

    def forget(self) -> None:
        """Forget what is remembered."""
        self._last.clear()

    async def _undecided(
        self, jetstream: JetStream, refused: Sequence[Commit], lasts: dict[str, int], results: dict[str, int | Conflict]
    ) -> list[Commit]:
        """Those that can still succeed, behind another message: their key was only postponed, or deleted before."""
        waiting: list[Commit] = []
        newest = await asyncio.gather(*(self.newest(jetstream, commit.key) for commit in refused))
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
        self._on_stored(commit.key, sequence, commit.alarm_at if commit.state is not None else None)
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
