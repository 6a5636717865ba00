"""The specification in `tests/model/log.py`, explored: it holds, and no mechanism of it is there in vain."""

from __future__ import annotations

import pytest

from tests.model.cases import HOLDS, LIMITS, WITHOUT, look
from tests.model.explore import explore
from tests.model.log import Budget, Design, Scope, Specification

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", HOLDS)
def test_all_invariants_hold_in_every_state(name: str) -> None:
    found = look(*HOLDS[name])
    assert found.broken is None, f"{name}: {found}"


@pytest.mark.parametrize("name", WITHOUT)
def test_without_a_mechanism_an_invariant_does_not_hold(name: str) -> None:
    scope, design, invariant = WITHOUT[name]
    found = look(scope, design)
    assert found.broken is not None, f"{name}: nothing goes wrong in {found.states} states, so it is there in vain"
    assert found.broken.startswith(f"{invariant}:"), f"{name}: {found}"


@pytest.mark.parametrize("name", LIMITS)
def test_what_no_process_can_know_is_known_to_us(name: str) -> None:
    scope, design, invariant = LIMITS[name]
    found = look(scope, design)
    assert found.broken is not None, f"{name} is promised now: say so"
    assert found.broken.startswith(f"{invariant}:"), f"{name}: {found}"


def test_every_mechanism_is_left_out_once() -> None:
    full = Design()
    varied = {
        field
        for case in WITHOUT.values()
        for field in Design._fields
        if getattr(case.design, field) != getattr(full, field)
    }
    assert varied == set(Design._fields) - {"takes_reading_as_answer", "skips_known"}


def test_a_counterexample_is_a_shortest_one() -> None:
    scope = Scope(Budget(emits=1, takeovers=1, moves=1))
    found = explore(Specification(scope, Design(renews_late="never")))
    assert found.trace == (
        "a replica takes over that has 0 of 0 entries",
        "P loses the old master",
        "P opens the log",
        "the client comes back to P: epoch",
        "Q emits event 1",
        "Q appends event 1",
        "Q loses the old master",
        "Q opens the log",
    )


def test_too_many_states_prove_nothing() -> None:
    with pytest.raises(OverflowError):
        explore(Specification(Scope(Budget(emits=2, moves=1))), most_states=10)
