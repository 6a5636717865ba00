"""A short soak in each run of the tests; `make soak` is the long one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.brokers import BROKERS
from tests.soak import soak

pytestmark = pytest.mark.alone


@pytest.mark.parametrize(("seed", "waits"), [(1, False), (2, True)])
def test_faults_at_random_lose_nothing_in_silence(seed: int, waits: bool) -> None:
    report = asyncio.run(soak(10, seed, waits=waits))
    assert report.verdict.is_clean, str(report)
    assert report.verdict.messages > 1_000, str(report)
    assert report.reconnects > 10, str(report)


@pytest.mark.parametrize("kind", BROKERS)
def test_two_workers_and_a_log_that_survives_lose_nothing_at_all(kind: str, tmp_path: Path) -> None:
    """Workers, the whole server and the broker are killed; what was acknowledged arrives, and no gap is needed."""
    with BROKERS[kind](tmp_path) as broker:
        report = asyncio.run(soak(8, 3, broker=broker, workers=2))
    assert report.verdict.is_clean, str(report)
    assert report.verdict.gaps == 0, str(report)
    assert report.verdict.messages > 1_000, str(report)
    assert report.reconnects > 10, str(report)
