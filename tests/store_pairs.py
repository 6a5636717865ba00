"""Pairs of stores: the store in memory, and another one that has to do the same, whatever is done to both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from nitro.streams.base import Commit, Conflict, Store
from nitro.streams.stores.memory import MemoryStore
from nitro.testing.conformance.stores import eventually, opened

__all__ = ["STEPS", "Step", "compare"]


class Step(NamedTuple):
    """What is done to both stores: a commit of some keys, and then one of each other verb with the first of them.

    Attributes:
        is_expected: whether the version is expected that there is; if not, an older one.
        is_kept: whether there is a state; if not, the keys are deleted.
        expires: whether the keys expire at their alarm.
        to: what the alarm is postponed to, and until when alarms are due.
        span: after how many commits, and until how many, is read.
        most: how many bytes are read, and how many keys.
    """

    keys: list[str]
    is_expected: bool
    is_kept: bool
    body: bytes | None
    alarm_at: float | None
    expires: bool
    to: float
    span: tuple[int, int]
    most: int


_KEYS: Final = ("a", "ab", "b}{", "ä")
_ALARMS: Final = st.sampled_from([1.5, 2.0, 3.25, 1e9])
_MOSTLY: Final = st.sampled_from([True, True, True, False])
STEPS: Final = st.lists(
    st.builds(
        Step,
        keys=st.lists(st.sampled_from(_KEYS), min_size=1, unique=True),
        is_expected=_MOSTLY,
        is_kept=_MOSTLY,
        body=st.sampled_from([None, b"", b"1", b"ten" * 3 + b".", bytes(range(40))]),
        alarm_at=st.none() | _ALARMS,
        expires=st.booleans(),
        to=_ALARMS,
        span=st.tuples(st.integers(0, 5), st.integers(0, 8)),
        most=st.sampled_from([1, 2, 10, 20, 50]),
    ),
    max_size=25,
)


def compare(store: Callable[[str], Store], namespace: str, steps: list[Step]) -> None:
    """Do the steps to an empty store and to one in memory; fails where they differ."""

    async def main() -> None:
        async with opened(MemoryStore("memory://", namespace)) as wanted, opened(store(namespace)) as real:
            pair = _Pair(wanted, real)
            for step in steps:
                await pair.do(step)

    asyncio.run(main())


class _Pair:
    """Versions of two stores differ, but not how many commits ago each of them was."""

    def __init__(self, wanted: Store, real: Store) -> None:
        self.stores = (wanted, real)
        self.versions: dict[str, list[tuple[int, int]]] = {key: [(0, 0)] for key in _KEYS}
        self.alive: dict[str, int] = dict.fromkeys(_KEYS, 0)

    async def do(self, step: Step) -> None:
        wanted, real = [await store.commit(self._commits(step, place)) for place, store in enumerate(self.stores)]
        for key, mine, other in zip(step.keys, wanted, real, strict=True):
            assert isinstance(mine, Conflict) == isinstance(other, Conflict), key
            if isinstance(mine, int) and isinstance(other, int):
                assert other > self.versions[key][-1][1], key
                self.versions[key].append((mine, other))
                self.alive[key] = len(self.versions[key]) - 1 if step.is_kept else 0
        assert await self._seen(step, 1) == await self._seen(step, 0)
        due = list(await self.stores[0].due(step.to, step.most))
        await eventually(partial(self._are_due, step, due))

    def _commits(self, step: Step, place: int) -> list[Commit]:
        commits: list[Commit] = []
        for key in step.keys:
            known = self.versions[key]
            number = self.alive[key] if step.is_expected else len(known) // 2
            state = b"%d" % len(known) if step.is_kept else None
            rest = (step.body, known[-1][place], step.alarm_at, step.expires)
            commits.append(Commit(key, known[number][place], state, *rest))
        return commits

    async def _are_due(self, step: Step, due: list[str]) -> bool:
        return list(await self.stores[1].due(step.to, step.most)) == due

    async def _seen(self, step: Step, place: int) -> dict[str, Any]:
        """What the other verbs say of one of the stores."""
        store, key = self.stores[place], step.keys[0]
        known = [versions[place] for versions in self.versions[key]]
        order = {version: number for number, version in enumerate(known)}
        after, until = (known[min(number, len(known) - 1)] for number in step.span)
        postponed = step.alarm_at is not None and await store.postpone(key, step.alarm_at, step.to)
        stored = await store.load(key)
        return {
            "postponed": postponed,
            "stored": stored and (order[stored.version], order[stored.tail], stored.state, stored.alarm_at),
            "read": [(order[version], body) for version, body in await store.read(key, after, until, step.most)],
            "keys": list(await store.keys(key[:1], step.most)),
        }
