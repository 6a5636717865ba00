"""Several processes with a log in memory each: it is said, once, with the remedy."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import httpx
import pytest

from nitro.delivery.foreign_ids import ForeignIds
from nitro.testing.conformance import eventually
from tests.servers import Server

APP = "tests.apps.redirects:app"
SAYS = re.compile(r"one of several workers of (\w+), and memory:// is a log in each.* NITRO_BROKER_URL")


def serve_from_all(server: Server, workers: int) -> None:
    """Each of the workers has answered, and so needed its log."""
    seen = set()

    def ask() -> bool:
        seen.add(httpx.get(server.url, trust_env=False, verify=False).json()["worker"])
        return len(seen) == workers

    eventually(ask, f"{workers} workers answer")


@pytest.mark.parametrize(
    ("runner", "options"),
    [
        ("uvicorn", ("--workers", "2")),
        ("granian", ("--workers", "2")),
        ("hypercorn", ("--workers", "2")),
    ],
)
def test_workers_with_a_log_in_memory_each_say_so(runner: str, options: tuple[str, ...], tmp_path: Path) -> None:
    environment = {"ROWS_DB": str(tmp_path / "rows.db"), "TMPDIR": str(tmp_path)}
    with Server(APP, runner=runner, options=options, environment=environment) as server:
        serve_from_all(server, 2)
        eventually(lambda: SAYS.search(server.output), "it is said")
    said = SAYS.findall(server.output)
    assert said == [runner], "once, by the one that came second"


def test_it_is_not_said_of_one_worker(tmp_path: Path) -> None:
    environment = {"ROWS_DB": str(tmp_path / "rows.db"), "TMPDIR": str(tmp_path)}
    with Server(APP, runner="granian", options=("--workers", "1"), environment=environment) as server:
        serve_from_all(server, 1)
        assert len(list(tmp_path.glob("nitro-*.lock"))) == 1, "it has the lock that another one would want"
    assert not SAYS.search(server.output)


def test_it_is_not_said_where_the_log_is_shared(tmp_path: Path) -> None:
    environment = {"ROWS_DB": str(tmp_path / "rows.db"), "TMPDIR": str(tmp_path)}
    environment["NITRO_BROKER_URL"] = f"sqlite:///{tmp_path / 'events.db'}"
    with Server(APP, options=("--workers", "2"), environment=environment) as server:
        serve_from_all(server, 2)
        assert not list(tmp_path.glob("nitro-*.lock"))
    assert not SAYS.search(server.output)


def test_ids_of_other_processes_again_and_again_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ids = ForeignIds()
    for _ in range(1_000):  # those of the process before, when all come back
        ids.note()
    for _ in range(100):  # one now and then
        now += 30
        ids.note()
    assert caplog.records == []
    for _ in range(100):
        now += 1
        ids.note()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "NITRO_BROKER_URL" in record.getMessage()
