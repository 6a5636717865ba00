"""Random verbs on a store of streams, compared with the memory store; versions are compared by their order alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from nitro.streams.base import ABSENT, Commit, Store, Stored
from nitro.streams.stores.memory import MemoryStore

__all__ = ["Step", "agree", "steps"]

_KEYS = ["a", "a/1", "ä", "日"]


@dataclass(frozen=True)
class Step:
    """One verb for some keys.

    Attributes:
        verb: which.
        keys: which of them, each with how many versions ago its expected one was: 0 for the newest, 1 for a wrong one.
        state, body: what is committed; no state deletes.
        alarm_at: the alarm to set, or to postpone to.
        places: from where to where is read, in versions that the key has had.
        max_bytes: how much is read.
    """

    verb: str
    keys: dict[str, int]
    state: bytes | None
    body: bytes | None
    alarm_at: float | None
    places: tuple[int, int]
    max_bytes: int


def steps() -> st.SearchStrategy[list[Step]]:
    """Lists of steps."""
    verbs = st.sampled_from(["commit", "commit", "commit", "commit", "read", "postpone", "due", "keys", "load"])
    keys = st.dictionaries(st.sampled_from(_KEYS), st.sampled_from([0, 0, 0, 0, 1]), min_size=1)
    states = st.sampled_from([b"", b"s", b"t" * 300, b"u", None])
    bodies = st.sampled_from([None, b"", b"x", b"y" * 50, bytes(range(256))])
    alarms = st.sampled_from([None, 1.5, 2.0, 3.25])
    places = st.tuples(st.integers(0, 8), st.integers(0, 8))
    step = st.builds(Step, verbs, keys, states, bodies, alarms, places, st.sampled_from([0, 60, 10_000]))
    return st.lists(step, min_size=5, max_size=40)


@dataclass
class _Side:
    """One store, and the versions that each key had in it."""

    store: Store
    versions: dict[str, list[int]] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)

    async def run(self, step: Step) -> object:
        """What the store says to a step, without versions."""
        store, key = self.store, next(iter(step.keys))
        if step.verb == "commit":
            return await self._commit(step)
        if step.verb == "read":
            versions = [0, *self.versions.get(key, ())]
            after, until = (versions[min(place, len(versions) - 1)] for place in step.places)
            records = await store.read(key, after, until, step.max_bytes)
            return [(versions.index(version), body) for version, body in records]
        if step.verb == "postpone":
            return await store.postpone(key, step.alarm_at or 2.0, 2.5)
        if step.verb == "due":
            return sorted(await store.due(step.alarm_at or 9.0, 10))
        if step.verb == "keys":
            return list(await store.keys(key[:1], step.places[0] + 1))
        stored = await store.load(key)
        return None if stored is None else self._compared(key, stored)

    async def _commit(self, step: Step) -> list[bool]:
        commits = [
            Commit(key, self.now.get(key, ABSENT) + ago, step.state, step.body, 0, step.alarm_at)
            for key, ago in step.keys.items()
        ]
        results = await self.store.commit(commits)
        for commit, result in zip(commits, results, strict=True):
            if isinstance(result, int):
                had = self.versions.setdefault(commit.key, [])
                assert result > max([*had, commit.expected, commit.tail])
                had.append(result)
                self.now[commit.key] = ABSENT if commit.state is None else result
        return [isinstance(result, int) for result in results]

    def _compared(self, key: str, stored: Stored) -> tuple[object, ...]:
        had = [0, *self.versions[key]]
        return had.index(stored.version), had.index(stored.tail), stored.state, stored.alarm_at


def agree(make: Callable[[str], Store], steps: list[Step]) -> None:
    """Do the same with a store that `make` makes for a namespace as with a memory store."""

    async def main() -> None:
        namespace = f"t-{secrets.token_hex(6)}"
        tested, model = _Side(make(namespace)), _Side(MemoryStore("memory://", namespace))
        await tested.store.open()
        await model.store.open()
        try:
            for step in steps:
                assert await tested.run(step) == await model.run(step), step
        finally:
            await tested.store.close()
            await model.store.close()

    asyncio.run(main())
