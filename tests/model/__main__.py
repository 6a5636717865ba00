"""Prints what the specification answers: `python -m tests.model`."""

from __future__ import annotations

from tests.model.cases import HOLDS, LIMITS, WITHOUT, look

if __name__ == "__main__":
    for name, (scope, design) in HOLDS.items():
        print(f"\n{name}: {look(scope, design)}", flush=True)
    for name, case in {**WITHOUT, **LIMITS}.items():
        print(f"\n{name}: {look(case.scope, case.design)}", flush=True)
