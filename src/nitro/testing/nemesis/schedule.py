"""The schedule: which fault strikes when, for how long, and what joins it. It depends only on the seed and the faults.

Made from a run's faults; drives the run. Every fault strikes once before any strikes again.
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
    """One fault, with its timing.

    Attributes:
        fault: strikes first, and is healed last.
        joined: another fault that strikes during it, if any.
        hold_seconds: how long it lasts, not counting the time to inject and heal it.
        is_hasty: the next step does not wait until every worker delivers again, so this outage isn't measured.
        pause_seconds: pause before it strikes.
        seed: of the faults' own random choices.
    """

    fault: Fault
    joined: Fault | None
    hold_seconds: float
    is_hasty: bool
    pause_seconds: float
    seed: int


def schedule(faults: Sequence[Fault], seed: int) -> Iterator[Step]:
    """The steps of a run; infinite."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    joining = [fault for fault in faults if fault.joins]
    while True:
        for fault in rng.sample(faults, len(faults)):
            joins = rng.random() < _JOINED and not fault.joins
            joined = rng.choice(joining) if joining and joins else None
            hold = rng.choice(fault.holds)
            hasty = rng.random() < _HASTY
            yield Step(fault, joined, hold, hasty, rng.uniform(0.5, 2), rng.getrandbits(32))
