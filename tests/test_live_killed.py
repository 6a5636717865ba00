"""A process that is killed between any two statements leaves no row without its event, and no event without its row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

import nitro
from nitro.delivery.hub import Hub
from nitro.testing.conformance import eventually
from tests.apps.live_writer import Base, Item, engine_of
from tests.brokers import BROKERS
from tests.hearing import Hearing
from tests.servers import ROOT

KILLS = range(1, 201, int(os.environ.get("NITRO_TEST_KILLS_EVERY", "4")))
"""The statements that processes are killed at."""


@contextmanager
def writer(url: str) -> Iterator[Callable[[int], None]]:
    command = [sys.executable, "-m", "tests.apps.live_writer", url]
    environment = {**os.environ, "NITRO_BROKER_URL": url}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def write(last: int) -> None:
            stdin.write(f"{last}\n")
            stdin.flush()
            assert int(stdout.readline()) == signal.SIGKILL

        yield write
        stdin.close()


@pytest.mark.server
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_and_events_are_one_truth(kind: str, tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    with BROKERS[kind](tmp_path) as broker:
        engine = engine_of(broker.url)
        Base.metadata.create_all(engine)
        hub_with(broker_url=broker.url)
        told: dict[int, dict[str, Any]] = {}
        seen = 0
        with Hearing("item.*", "end") as hearing, writer(broker.url) as write:
            for last in KILLS:
                write(last)
                with Session(engine) as session:
                    nitro.emit("end", result=last, session=session)
                    session.commit()
                    rows = {item.id: {"id": item.id, "value": item.value} for item in session.scalars(select(Item))}
                eventually(lambda last=last: hearing.events[-1:] == [("end", None, last)], "the end is heard")  # type: ignore[misc]
                for topic, _, data in hearing.events[seen:-1]:
                    if topic == "item.deleted":
                        told.pop(data["id"])
                    elif topic != "end":
                        assert (data["id"] in told) is (topic == "item.updated")
                        told[data["id"]] = data
                seen = len(hearing.events)
                assert told == rows, f"killed at statement {last}"
        assert seen > 2 * len(KILLS), "hardly anything was committed"
        engine.dispose()
