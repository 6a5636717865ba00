"""The explorer: looks at every state that a model can come to, the nearest first, until something is wrong in one.

So what it finds is a shortest way there. A model is an object with four methods, and its states are hashable; `log.py`
has one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["Found", "Model", "explore"]

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """What can happen, and what must not."""

    def first(self) -> S:
        """Where all begins."""

    def steps(self, state: S) -> Iterable[tuple[str, S]]:
        """What can happen next, in words, and what is then."""

    def broken(self, state: S) -> str | None:
        """Which invariant doesn't hold, and how; None if all do."""

    def key(self, state: S) -> Hashable:
        """The same for states that differ in nothing but names."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it.

    Attributes:
        states: how many were looked at, those that differ in nothing but names once.
        broken: the invariant that does not hold; None if all do, in every state.
        trace: what happened until then, in order.
    """

    states: int
    broken: str | None
    trace: tuple[str, ...]

    def __str__(self) -> str:
        steps = "".join(f"\n  {place}. {step}" for place, step in enumerate(self.trace, 1))
        return f"{self.states} states: {self.broken or 'all invariants hold'}{steps}"


def explore(model: Model[S], most_states: int = 5_000_000) -> Found:
    """Look at all states, breadth first, up to the first in which an invariant doesn't hold.

    Raises:
        OverflowError: there are more states than that, so nothing is proven.
    """
    first = model.first()
    start = model.key(first)
    came: dict[Hashable, tuple[Hashable, str] | None] = {start: None}
    waiting = deque([(first, start)])
    while waiting:
        state, key = waiting.popleft()
        broken = model.broken(state)
        if broken is not None:
            return Found(len(came), broken, _trace(came, key))
        for label, after in model.steps(state):
            after_key = model.key(after)
            if after_key in came:
                continue
            if len(came) >= most_states:
                raise OverflowError(f"more than {most_states} states")
            came[after_key] = (key, label)
            waiting.append((after, after_key))
    return Found(len(came), None, ())


def _trace(came: dict[Hashable, tuple[Hashable, str] | None], key: Hashable) -> tuple[str, ...]:
    labels: list[str] = []
    while (step := came[key]) is not None:
        key, label = step
        labels.append(label)
    return tuple(reversed(labels))
