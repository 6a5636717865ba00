"""Twenty-four processes on one log, all of which emit and hear at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers import BROKERS
from tests.servers import ROOT

PROCESSES = 24
EVENTS = 200


@pytest.mark.parametrize("kind", BROKERS)
def test_everybody_hears_everything_in_one_order(kind: str, tmp_path: Path) -> None:
    with BROKERS[kind](tmp_path) as broker:
        environment = {**os.environ, "NITRO_BROKER_URL": broker.url, "NITRO_NAMESPACE": broker.namespace()}
        command = [sys.executable, "-m", "tests.apps.one_of_many"]
        processes = [
            subprocess.Popen(
                [*command, f"p{n}", str(EVENTS), str(PROCESSES * EVENTS)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(PROCESSES)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            heard = {process.communicate(timeout=60)[0] for process in processes}
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    assert len(heard) == 1
    assert len(heard.pop().strip()) == 64
