"""What the specification is asked: where all invariants hold, which of them needs which mechanism, what nothing holds.

`python -m tests.model` prints the answers. With `NITRO_MODEL_MORE=1` one event more is emitted, and the client moves
once more, which takes long.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from tests.model.explore import Found, explore
from tests.model.log import Budget, Design, Scope, Specification

__all__ = ["HOLDS", "LIMITS", "WITHOUT", "Without", "look"]

FULL: Final = Design()
LOOKS_AT_OPEN: Final = Design(compares_at_read=False, compares_when_idle=False)
"""For logs whose connections end when a backup is put back: one look for each connection is enough."""

RETRY: Final = Scope(Budget(emits=2, lost_answers=2, moves=2))
CRASH: Final = Scope(Budget(emits=2, lost_answers=1, crashes=1, moves=2))
TRIM: Final = Scope(Budget(emits=3, moves=2), retains=1)
RESTORE: Final = Scope(Budget(emits=2, backups=1, restores=1, moves=2))
RESTORE_OF_MORE: Final = Scope(Budget(emits=3, backups=1, restores=1, moves=1))
RESTORE_AND_TRIM: Final = RESTORE_OF_MORE._replace(retains=1)
RESTART: Final = RESTORE._replace(restores="restart")
STOPPED: Final = RESTORE._replace(restores="stopped", except_for=("1",))
STOPPED_AND_TRIM: Final = Scope(
    Budget(emits=3, backups=1, restores=1, moves=2), retains=1, restores="stopped", except_for=("1",)
)
OLD_BACKUP: Final = Scope(Budget(emits=1, backups=1, restores=1, power_cuts=1, moves=2))
TAKEOVER: Final = Scope(Budget(emits=2, takeovers=1, moves=2))
POWER_CUT: Final = Scope(Budget(emits=2, power_cuts=1, moves=2))
POWER_CUT_AND_RETRY: Final = Scope(Budget(emits=1, lost_answers=1, power_cuts=1, moves=2))
BEGINNING: Final = Scope(Budget(emits=2, moves=2), begins=True)

HOLDS: Final[dict[str, tuple[Scope, Design]]] = {
    "batches are tried again": (RETRY, FULL),
    "processes crash": (CRASH, FULL),
    "the log is trimmed": (TRIM, FULL),
    "a backup is put back": (RESTORE, FULL),
    "a backup is put back, and the log is trimmed": (RESTORE_AND_TRIM, FULL),
    "a server is started with a backup": (RESTART, LOOKS_AT_OPEN),
    "a backup is put back while all are stopped": (STOPPED, FULL),
    "a backup is put back while all are stopped, and the log is trimmed": (STOPPED_AND_TRIM, FULL),
    "a backup of an epoch that has ended is put back": (OLD_BACKUP, FULL),
    "a replica takes over": (TAKEOVER, FULL),
    "two replicas take over, one after the other": (
        TAKEOVER._replace(budget=Budget(emits=2, takeovers=2, moves=1)),
        FULL,
    ),
    "a replica takes over, and there are clocks": (TAKEOVER, FULL._replace(renews_late="by clock")),
    "a server forgets": (POWER_CUT, FULL),
    "a server forgets, and batches are tried again": (POWER_CUT_AND_RETRY, FULL),
    "clients begin": (BEGINNING, FULL),
    "what is read of one's own is acknowledged": (
        POWER_CUT_AND_RETRY,
        FULL._replace(takes_reading_as_answer=True, skips_known=True),
    ),
}


class Without(NamedTuple):
    """A design without one mechanism, and the number of the invariant that doesn't hold then."""

    scope: Scope
    design: Design
    invariant: int


WITHOUT: Final[dict[str, Without]] = {
    "no numbers of producers": Without(RETRY, FULL._replace(numbers=False), 2),
    "no comparison when it is opened": Without(
        RESTORE_OF_MORE._replace(restores="restart"), LOOKS_AT_OPEN._replace(compares_at_open=False), 1
    ),
    "no comparison when it is read": Without(RESTORE_OF_MORE, FULL._replace(compares_at_read=False), 1),
    "no comparison while nothing comes": Without(RESTORE, FULL._replace(compares_when_idle=False), 1),
    "own entries need not come by": Without(RESTORE, FULL._replace(expects_own=False), 1),
    "no gap where nothing can be compared": Without(RESTORE_AND_TRIM, FULL._replace(uncompared_is_gap=False), 5),
    "any epoch may be read and appended to": Without(RESTORE, FULL._replace(fences=False), 5),
    "no gap for what was trimmed": Without(TRIM, FULL._replace(tells_trimmed=False), 1),
    "no epoch in the id": Without(RESTORE, FULL._replace(epoch_in_id=False), 1),
    "no stamp in the id": Without(STOPPED, FULL._replace(stamp_in_id=False), 6),
    "places that nobody has seen": Without(STOPPED_AND_TRIM, FULL._replace(starts_at_seen=False), 6),
    "two begin an epoch for one loss": Without(RESTORE, FULL._replace(renews_once=False), 4),
    "an epoch that comes again": Without(OLD_BACKUP, FULL._replace(never_goes_back=False), 1),
    "no epoch for a server that may not have all": Without(TAKEOVER, FULL._replace(epoch_of_run=False), 1),
    "an old master is believed": Without(TAKEOVER, FULL._replace(renews_late="never"), 1),
    "a client begins where its process has read to": Without(BEGINNING, FULL._replace(asks_head=False), 7),
    "an id from further on is none": Without(RETRY, FULL._replace(judges="at once"), 4),
    "an id from a newer epoch is none": Without(POWER_CUT, FULL._replace(judges="if not ahead"), 4),
    "and what a false gap does": Without(
        POWER_CUT._replace(except_for=("4",)), FULL._replace(judges="if not ahead"), 2
    ),
}

LIMITS: Final[dict[str, Without]] = {
    "all who knew of an event are stopped when it is lost": Without(STOPPED._replace(except_for=()), FULL, 1),
    "who knew of an event crashes before it is lost": Without(
        Scope(Budget(emits=1, backups=1, restores=1, crashes=1, moves=1)), FULL, 1
    ),
    "who was acknowledged by the old master crashes": Without(
        Scope(Budget(emits=1, takeovers=1, crashes=1, moves=1)), FULL, 1
    ),
    "a batch is tried again in the next epoch": Without(POWER_CUT_AND_RETRY._replace(is_strict=True), FULL, 2),
    "a batch is tried again, and a client moves": Without(
        POWER_CUT_AND_RETRY._replace(is_strict=True),
        FULL._replace(takes_reading_as_answer=True, skips_known=True),
        2,
    ),
}
"""What no process can know, with all mechanisms."""


def look(scope: Scope, design: Design) -> Found:
    """What the specification answers."""
    if os.environ.get("NITRO_MODEL_MORE"):
        budget = scope.budget
        scope = scope._replace(budget=budget._replace(emits=budget.emits + 1, moves=budget.moves + 1))
    return explore(Specification(scope, design))
