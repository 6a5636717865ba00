"""A script that emits into the memory of its own process is told so when it ends; nobody else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Server

SAYS = re.compile(r"emitted into memory:// of this process, and no client was ever connected here.* NITRO_BROKER_URL")
EMITS = "import nitro\nfor n in range(3): nitro.emit('cron.done', result=n)\n"
LIVE = """
import nitro
class Job(nitro.Entity, table=True, live=True):
    name: str
Job._repository.init_db()
Job(name="cron").save()
"""
HEARD = """
import asyncio, nitro
async def hear():
    with nitro.Client(topics=["cron.*"]) as client:
        nitro.emit("cron.done", result=1)
        await anext(client.messages())
asyncio.run(hear())
"""


def said_by(script: str, folder: Path, **environment: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NITRO_")} | environment
    command = [sys.executable, "-W", "error", "-c", script]
    ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return ended.stderr


def test_a_script_whose_events_stay_in_its_own_memory_is_told_with_the_remedy(tmp_path: Path) -> None:
    said = said_by(EMITS, tmp_path)
    assert SAYS.search(said), said
    assert said.startswith("3 events ('cron.done', …) were emitted") and said.count("\n") == 1
    assert said_by("import nitro; nitro.event('cron.done').emit(result=1)", tmp_path).startswith(
        "1 event ('cron.done')"
    )
    assert said_by(LIVE, tmp_path, NITRO_DB_URL="sqlite://").startswith("1 event ('job.created')")


@pytest.mark.parametrize(
    "script",
    [
        "import nitro",
        "import nitro\nnitro.on('cron.*')(lambda sender, result: None)\n" + EMITS,
        HEARD,
        "import pytest\n" + EMITS,
        "import uvicorn\n" + EMITS,
        "import nitro.testing\n" + EMITS,
        "import sys\nsys.ps1 = '>>> '\n" + EMITS,
        "import nitro; nitro.configure(broker='memory://')\n" + EMITS,
    ],
)
def test_it_is_not_said_where_somebody_may_have_heard_or_nobody_was_meant_to(script: str, tmp_path: Path) -> None:
    assert said_by(script, tmp_path) == ""


@pytest.mark.parametrize("url", ["memory://", "sqlite:///events.db"])
def test_it_is_not_said_of_a_broker_that_was_chosen(url: str, tmp_path: Path) -> None:
    assert said_by(EMITS, tmp_path, NITRO_BROKER_URL=url) == ""


@pytest.mark.server
@pytest.mark.parametrize("runner", ["uvicorn", "hypercorn", "granian"])
def test_it_is_not_said_of_a_server_that_nobody_has_visited(runner: str) -> None:
    with Server("tests.apps.listening:app", runner=runner) as server:
        server.post("/emit?topic=todo.changed", json=1).raise_for_status()
    assert not SAYS.search(server.output)
