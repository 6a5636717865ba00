"""The schedule: which fault strikes when, for how long, and what joins it: a function of the seed and the faults.

Fed by a run's faults; feeds the run. All faults have their turn before one has its second.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nitro.testing.nemesis.fault import Fault

__all__ = ["Step", "schedule"]

_JOINED: Final = 0.2
_HASTY: Final = 0.15


@dataclass(frozen=True, slots=True)
class Step:
    """One fault, and what comes with it.

    Attributes:
        fault: it strikes first, and is healed last.
        joined: another one that strikes while it lasts, if any.
        hold_seconds: how long it lasts, beside what it takes to do.
        is_hasty: the next one comes without waiting until everybody delivers again, so this outage isn't measured.
        pause_seconds: until the next one.
        seed: of what the faults themselves do at random.
    """

    fault: Fault
    joined: Fault | None
    hold_seconds: float
    is_hasty: bool
    pause_seconds: float
    seed: int


def schedule(faults: Sequence[Fault], seed: int) -> Iterator[Step]:
    """The steps of a run, without an end."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    joining = [fault for fault in faults if fault.joins]
    while True:
        for fault in rng.sample(faults, len(faults)):
            joins = rng.random() < _JOINED and not fault.joins
            joined = rng.choice(joining) if joining and joins else None
            hold = rng.choice(fault.holds)
            hasty = rng.random() < _HASTY
            yield Step(fault, joined, hold, hasty, rng.uniform(0.5, 2), rng.getrandbits(32))
