"""Durable streams against what others have written for the protocol: its public suite, and its clients."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import BROKERS, STORES
from tests.servers import ROOT, Server, wait_for

NPM = ROOT / "tests/npm"
PATHS = f"{ROOT / 'src'}:{ROOT}"
PASSES = 332
SKIPS = 6
"""Subscriptions, which are no part of this."""
KINDS = ["memory", *STORES]
"""Where streams are kept; all but the first survive their server, which is killed in the middle."""
SECONDS = 60

FOLLOWS_IN_PYTHON = """
import json, sys, time
import httpx
from durable_streams import stream
url, live, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
offset, n = "-1", -1
while n < last:
    try:
        with stream(url, offset=offset, live=live) as response:
            for event in response.iter_events(mode="json"):
                for value in event.data:
                    n = value["n"]
                    print(n, flush=True)
                offset = event.next_offset
                if n == last:
                    break
    except httpx.TransportError:
        time.sleep(0.1)
"""
WRITES_IN_PYTHON = """
import sys
from durable_streams import DurableStream
url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with DurableStream.create(url, content_type="application/json") as handle:
    for n in range(first, first + count):
        handle.append({"n": n})
"""


def node() -> str:
    found = shutil.which("node")
    if found is None or not (NPM / "node_modules/@durable-streams").is_dir():
        pytest.skip("NO NODE CLIENTS: node, or a package of tests/npm, is missing; `make test` installs them")
    return found


@pytest.fixture(scope="module", params=KINDS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL."""
    if request.param == "memory":
        yield "memory://"
        return
    with BROKERS[request.param](tmp_path_factory.mktemp(request.param)) as started:
        yield started.url


def environment(broker: str) -> dict[str, str]:
    return {"PYTHONPATH": PATHS, "NITRO_BROKER_URL": broker}


def test_the_public_suite_passes_but_for_subscriptions(broker: str, tmp_path: Path) -> None:
    program = [node(), str(NPM / "node_modules/vitest/vitest.mjs"), "run", "durable_streams.test.js"]
    options = ["--sequence.concurrent", "--maxConcurrency=6", "--testTimeout=30000"]
    report = tmp_path / "report.json"
    kept = ("--no-access-log", "--timeout-keep-alive", "75")  # Node may use a connection that uvicorn is closing
    with Server("tests.apps.durable_streams:app", options=kept, environment=environment(broker)) as server:
        ended = subprocess.run(
            [*program, *options, "--reporter=json", f"--outputFile={report}"],
            cwd=NPM,
            env={**os.environ, "CONFORMANCE_TEST_URL": server.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert report.is_file(), ended.stdout + ended.stderr
    said: dict[str, Any] = json.loads(report.read_text())
    results = [result for file in said["testResults"] for result in file["assertionResults"]]
    failed = {each["fullName"]: each["failureMessages"] for each in results if each["status"] == "failed"}
    assert failed == {}
    assert (said["numPassedTests"], said["numPendingTests"]) == (PASSES, SKIPS)
    assert "Traceback" not in server.output, server.output


class Follower:
    """A program that prints a number a line, as it hears them."""

    def __init__(self, command: list[str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=NPM)

    def lines(self) -> list[str]:
        return self._output.read_text().splitlines()

    def hears(self, count: int) -> None:
        wait_for(lambda: len(self.lines()) >= count or self.process.poll() is not None, seconds=SECONDS)
        assert self.lines() == [str(n) for n in range(count)]


@contextmanager
def following(command: list[str], output: Path) -> Iterator[Follower]:
    follower = Follower(command, output)
    try:
        yield follower
    finally:
        follower.process.kill()
        follower.process.wait(10)


def run(*command: str) -> None:
    ended = subprocess.run(command, cwd=NPM, capture_output=True, text=True, timeout=SECONDS)
    assert ended.returncode == 0, ended.stdout + ended.stderr


class Kept:
    """A server of durable streams over a broker, which can be started anew at the same port."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self.server = self._started()

    def _started(self, port: int | None = None) -> Server:
        return Server("tests.apps.durable_streams:app", port=port, environment=environment(self.broker))

    def restart(self) -> None:
        """Kill it and start it again, if what it keeps survives that."""
        if not self.broker.startswith("memory:"):
            self.server.kill()
            self.server = self._started(self.server.port)
            self.server.wait_until_up()


@pytest.fixture
def kept(broker: str) -> Iterator[Kept]:
    found = Kept(broker)
    found.server.wait_until_up()
    yield found
    found.server.end()
    assert "Traceback" not in found.server.output, found.server.output


@pytest.mark.parametrize("live", ["long-poll", "sse"])
def test_the_client_for_javascript_writes_and_follows_until_the_end(kept: Kept, live: str, tmp_path: Path) -> None:
    client = [node(), str(NPM / "durable_streams_client.js")]
    url = f"{kept.server.url}/v1/stream/javascript/{live}"
    run(*client, "write", url, "0", "100")
    with following([*client, "follow", url, live], tmp_path / "heard.txt") as follower:
        follower.hears(100)
        kept.restart()
        run(*client, "write", url, "100", "100", "close")
        follower.process.wait(SECONDS)
        assert follower.lines() == [*(str(n) for n in range(200)), "closed"]


@pytest.mark.parametrize("live", ["long-poll", "sse"])
def test_the_client_for_python_writes_and_follows(kept: Kept, live: str, tmp_path: Path) -> None:
    if find_spec("durable_streams") is None:
        pytest.skip("NO PYTHON CLIENT: `durable-streams` is missing; `make test` installs it")
    url = f"{kept.server.url}/v1/stream/python/{live}"
    run(sys.executable, "-c", WRITES_IN_PYTHON, url, "0", "20")
    began = time.monotonic()
    follow = [sys.executable, "-c", FOLLOWS_IN_PYTHON, url, live, "39"]
    with following(follow, tmp_path / "heard.txt") as follower:
        follower.hears(20)
        kept.restart()
        run(sys.executable, "-c", WRITES_IN_PYTHON, url, "20", "20")
        assert follower.process.wait(SECONDS) == 0, (follower.lines(), time.monotonic() - began)
        assert follower.lines() == [str(n) for n in range(40)]
