"""The committer: takes changes of streams one by one, and commits those of one tick together.

Fed by `Streams`; feeds the store. A change is a decision about what there is. If another process has changed the
stream meanwhile, the store says so, and all decisions about that stream are made again about what there is then. So
the changes of one stream are in one order, and none is half done.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from nitro.brokers.tasks import end, in_time
from nitro.streams import decisions
from nitro.streams.base import ABSENT, Change, Commit, Conflict, Store, Stored
from nitro.streams.decisions import Current, Decision
from nitro.streams.errors import RecordTooLong, StreamError
from nitro.streams.items import LENGTH_BYTES, is_json, joined
from nitro.streams.offsets import BEGINNING, Offset
from nitro.streams.state import StreamState, from_bytes, to_bytes

__all__ = ["Applied", "Committer", "Decide"]

T = TypeVar("T")

log: Final = logging.getLogger("nitro.streams")

Decide = Callable[[Current | None], Decision]
"""What becomes of a stream; None: it is not there. Called again if another process was faster."""

_MAX_RECORD_BYTES: Final = 256 * 1024
"""The appends of one tick share a record up to this size; a greater one has a record of its own."""
_MAX_RECORD_ITEMS: Final = 65_536
_REMEMBERED: Final = 10_000
"""Streams whose state is kept, so that it needn't be read before each change."""


class Applied(NamedTuple):
    """What became of a change.

    Attributes:
        state: of the stream; None if it was deleted.
        offset: the place behind what this change appended, or the stream's end.
        is_changed: False if there was nothing to do.
    """

    state: StreamState | None
    offset: Offset
    is_changed: bool


@dataclass(slots=True, eq=False)
class _Waiting:
    decide: Decide
    answer: asyncio.Future[Applied]


class Committer:
    """Used from one event loop, which is the store's.

    Args:
        store: where the streams are.
        on_commit: called with what was stored, and with what it became, before those who wait for it go on.
        on_failure: called with the keys of commits that failed, so that they may have been stored or not.
    """

    def __init__(
        self,
        store: Store,
        on_commit: Callable[[Change, StreamState | None], None],
        on_failure: Callable[[Iterable[str]], None],
    ) -> None:
        self._store = store
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._known: OrderedDict[str, Current | None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def apply(self, key: str, decide: Decide) -> asyncio.Future[Applied]:
        """Change one stream; done once it is stored.

        The future fails with what `decide` raises about what is stored, or with what the store raises: then the change
        may have been stored or not.
        """
        answer: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(_Waiting(decide, answer))
        if self._task is None or self._task.done():  # cancelled before it began
            self._task = asyncio.get_running_loop().create_task(self._run(), name="nitro streams committer")
        return answer

    def learn(self, key: str, current: Current | None) -> None:
        """Something newer than what is remembered was read or told, or may have been; or a later alarm."""
        known = self._known.get(key)
        if known is not None and (current is None or _age(current) > _age(known)):
            self._known[key] = current

    def postponed(self, key: str, alarm_at: float) -> None:
        """The alarm of a stream was changed without a commit."""
        known = self._known.get(key)
        if known is not None:
            self._known[key] = known.postponed(alarm_at)

    def forget(self) -> None:
        """Forget what is remembered: changes may have been missed."""
        self._known.clear()

    async def close(self) -> None:
        """Commit nothing more."""
        if self._task is not None:
            await end([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                keys = tuple(waiting)
                answers = [each.answer for queue in waiting.values() for each in queue]
                try:
                    await self._round(waiting)
                except asyncio.CancelledError:
                    later = [each.answer for queue in self._waiting.values() for each in queue]
                    for answer in (*answers, *later):
                        answer.cancel()
                    raise
                except Exception as error:  # noqa: BLE001 - raised again by those who wait
                    self._known.clear()
                    self._on_failure(keys)
                    for answer in answers:
                        if not answer.done():
                            answer.set_exception(error)
        finally:
            self._task = None

    async def _round(self, waiting: dict[str, deque[_Waiting]]) -> None:
        """Decide and commit what waits, and what has to be decided again."""
        loaded: set[str] = set()
        while waiting:
            while unknown := [key for key in waiting if key not in self._known]:  # what was known may be forgotten
                await self._load(unknown)
                loaded.update(unknown)
            works = []
            for key, queue in waiting.items():
                work = self._decide(key, queue, is_fresh=key in loaded)
                if work is None:  # decided about what may have been out of date
                    self._known.pop(key)
                else:
                    works.append(work)
            commits = [work.commit for work in works if work.commit is not None]
            results = iter(await in_time(self._store.commit(commits)) if commits else ())
            for work in works:
                result = next(results) if work.commit is not None else ABSENT
                if isinstance(result, Conflict):
                    self._known.pop(work.key, None)
                    loaded.discard(work.key)
                    waiting[work.key].extendleft(reversed(work.done))
                else:
                    self._finish(work, result)
                    loaded.add(work.key)  # what is remembered now is what there is
            waiting = {key: queue for key, queue in waiting.items() if queue}
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _load(self, keys: list[str]) -> None:
        for key, stored in zip(keys, await in_time(_all(map(self._store.load, keys))), strict=True):
            self._known[key] = None if stored is None else Current(stored, from_bytes(stored.state))

    def _decide(self, key: str, queue: deque[_Waiting], *, is_fresh: bool) -> _Work | None:
        """Take from the queue what goes into one commit; None if what is remembered must be read again first."""
        work = _Work(key, self._known[key])
        self._known.move_to_end(key)
        while queue:
            each = queue[0]
            if each.answer.done():  # who asked was cancelled before it began
                queue.popleft()
                continue
            try:
                decision = each.decide(work.current())
                state = None if decision.state is None or not decision.is_changed else to_bytes(decision.state)
                self._check_size(work, decision, state)
            except StreamError as refusal:
                if not work.is_empty:
                    break  # decided again when that is committed
                if not is_fresh:
                    return None
                queue.popleft()
                each.answer.set_exception(refusal)
                continue
            except Exception as error:  # noqa: BLE001 - raised again by who waits
                queue.popleft()
                each.answer.set_exception(error)
                continue
            if not decision.is_changed and not is_fresh and work.is_empty:
                return None
            if not work.takes(decision):
                break
            queue.popleft()
            work.add(each, decision, state)
        work.close()
        return work

    def _check_size(self, work: _Work, decision: Decision, encoded: bytes | None) -> None:
        """Raises RecordTooLong if the store can't hold it. Half of what it takes is left for records."""
        longest = self._store.max_body_bytes
        if longest is None or encoded is None:
            return
        state, record = len(encoded), work.record_bytes(decision)
        if state > longest // 2 or state + record > longest:
            raise RecordTooLong(
                f"the record has {record:,} bytes and the stream's state {state:,}; "
                f"the store takes {longest:,}, and half of that for the state"
            )

    def _finish(self, work: _Work, version: int) -> None:
        if work.commit is not None:
            stored = work.stored(version)
            current = None if stored is None or work.state is None else Current(stored, work.state)
            if current is None:
                self._known.pop(work.key, None)
            else:
                self._known[work.key] = current
            change = Change(work.key, work.commit.expected, stored, work.commit.body, True)
            self._on_commit(change, work.state)
        for each, applied in zip(work.done, work.answers(version), strict=True):
            if not each.answer.done():
                each.answer.set_result(applied)


class _Work:
    """What is committed of one stream in one go."""

    def __init__(self, key: str, before: Current | None) -> None:
        self.key = key
        self.done: list[_Waiting] = []
        self.commit: Commit | None = None
        self._before = before
        self._after = before
        self._encoded: bytes | None = None
        self._items: list[bytes] = []
        self._bytes = 0
        self._applied: list[tuple[StreamState | None, int, bool]] = []
        self._tail = 0 if before is None else before.stored.tail
        self._alarm_at = None if before is None else before.stored.alarm_at
        self._is_changed = False
        self._is_deleted = False

    @property
    def is_empty(self) -> bool:
        return not self._is_changed

    @property
    def state(self) -> StreamState | None:
        return None if self._after is None else self._after.state

    def current(self) -> Current | None:
        """What there is, as far as it is decided."""
        return self._after

    def takes(self, decision: Decision) -> bool:
        """Whether this still fits into the commit."""
        if not self._is_changed:
            return True
        if self._is_deleted or decision.state is None:  # a key that is deleted is free in the next commit
            return False
        size = sum(map(len, decision.items))
        return (
            not decision.items
            or not self._items
            or (self._bytes + size <= _MAX_RECORD_BYTES and len(self._items) + len(decision.items) <= _MAX_RECORD_ITEMS)
        )

    def record_bytes(self, decision: Decision) -> int:
        """How long the record would be with what this appends."""
        count = len(self._items) + len(decision.items)
        between = 1 if decision.state is not None and is_json(decision.state.content_type) else LENGTH_BYTES
        return self._bytes + sum(map(len, decision.items)) + count * between

    def add(self, waiting: _Waiting, decision: Decision, encoded: bytes | None) -> None:
        """Take a decision, and the state that it makes as it is to be kept."""
        self.done.append(waiting)
        if decision.is_changed:
            self._is_changed = True
            self._encoded = encoded
            self._is_deleted = decision.state is None
            if self._before is None and not self._applied:
                self._tail = decision.tail
            self._items.extend(decision.items)
            self._bytes += sum(map(len, decision.items))
            self._alarm_at = decision.alarm_at
            version = ABSENT if self._before is None else self._before.stored.version
            if decision.state is None:
                self._after = None
            else:
                self._after = Current(Stored(version, self._tail, b"", decision.alarm_at), decision.state)
        self._applied.append((self.state, len(self._items), decision.is_changed))

    def close(self) -> None:
        if not self._is_changed:
            return
        expected = ABSENT if self._before is None else self._before.stored.version
        state = self.state
        if state is None:
            self.commit = Commit(self.key, expected, None)
            return
        body = joined(self._items, as_json=is_json(state.content_type)) if self._items else None
        self.commit = Commit(
            self.key, expected, self._encoded, body, self._tail, self._alarm_at, decisions.expires(state)
        )

    def stored(self, version: int) -> Stored | None:
        """What the store has of it, if the commit got `version`."""
        commit = self.commit
        assert commit is not None
        if commit.state is None:
            return None
        return Stored(version, self._tail if commit.body is None else version, commit.state, commit.alarm_at)

    def answers(self, version: int) -> list[Applied]:
        """What those who waited are told, in their order."""
        count = len(self._items)
        end = Offset(version) if count and self.commit is not None else Offset(self._tail)
        return [
            Applied(
                state,
                end if place == count else Offset(self._tail, place) if state is not None else BEGINNING,
                is_changed,
            )
            for state, place, is_changed in self._applied
        ]


def _age(current: Current) -> tuple[int, float]:
    """Greater for what is newer: its version, and its alarm, which is postponed without a commit."""
    return current.stored.version, current.stored.alarm_at or 0.0


async def _all(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    return await asyncio.gather(*awaitables)
