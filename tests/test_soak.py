"""A short soak in each run of the tests; `make soak` is the long one. `test_nemesis.py` has logs that are shared."""

from __future__ import annotations

import asyncio

import pytest

from tests.soak import soak


@pytest.mark.parametrize(("seed", "waits"), [(1, False), (2, True)])
def test_faults_at_random_lose_nothing_in_silence(seed: int, waits: bool) -> None:
    report = asyncio.run(soak(10, seed, waits=waits))
    assert report.verdict.is_clean, str(report)
    assert report.verdict.messages > 1_000, str(report)
    assert report.reconnects > 10, str(report)
