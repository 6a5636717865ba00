"""The recipes of `docs/how-to/clients.md`, as they stand there: each is cut, comes back, misses and doubles nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.documents import ROOT, Document
from tests.servers import Server
from tests.services import Proxy
from tests.specification.blocks import Block

NPM = ROOT / "tests/npm"
PYTHON = """
import asyncio, inspect, json, sys
def show(value): print(json.dumps(value["n"]), flush=True)
def fetch_anew(): print(json.dumps("gap"), flush=True)
{recipe}
asyncio.run(hear(sys.argv[1])) if inspect.iscoroutinefunction(hear) else hear(sys.argv[1])
"""
NODE = """
globalThis.window = globalThis;
globalThis.document = { hidden: false, readyState: "complete", addEventListener() {}, removeEventListener() {} };
globalThis.EventSource = (await import("eventsource")).EventSource;
globalThis.show = (value) => console.log(JSON.stringify(value.n));
globalThis.fetchAnew = () => console.log(JSON.stringify("gap"));
const { hear } = await import("./recipe.mjs");
hear(process.argv[2]);
setInterval(() => {}, 1e6);
"""


RUNS_BLOCKS = {"docs/how-to/clients.md": ["python", "js"]}
PAGE = Document("docs/how-to/clients.md")
RECIPES = [*PAGE.all("python"), *PAGE.all("js")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """With heartbeats that are quick, and waits that are short."""
    environment = {"NITRO_RETRY_MILLISECONDS": "200", "NITRO_HEARTBEAT_SECONDS": "0.2"}
    with Server("tests.apps.streams:app", environment=environment) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def command(recipe: Block, directory: Path) -> list[str]:
    if recipe.language == "python":
        file = directory / "recipe.py"
        file.write_text(PYTHON.format(recipe=recipe.source))
        return [sys.executable, "-W", "error", str(file)]
    node = shutil.which("node")
    if node is None or not (NPM / "node_modules").exists():
        pytest.skip("NO NODE CLIENTS: node, or tests/npm/node_modules, is missing; `make test` installs them")
    (directory / "node_modules").symlink_to(NPM / "node_modules")
    (directory / "source.mjs").write_text(recipe.source)
    esbuild = ROOT / "js/node_modules/.bin/esbuild"
    bundle = ["source.mjs", "--bundle", "--format=esm", "--main-fields=module,main", "--outfile=recipe.mjs"]
    subprocess.run(
        [str(esbuild), *bundle, "--platform=node"], cwd=directory, check=True, capture_output=True, timeout=60
    )
    (directory / "run.mjs").write_text(NODE)
    return [node, "run.mjs"]


class Heard:
    """What the program of a recipe was told, and said."""

    def __init__(self, recipe: Block, url: str, directory: Path) -> None:
        self._file = directory / "heard.txt"
        with self._file.open("wb") as output:
            self.process = subprocess.Popen(
                [*command(recipe, directory), url], cwd=directory, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        return self._file.read_text()

    @property
    def values(self) -> list[Any]:
        return [json.loads(line) for line in self.said.splitlines() if line.startswith(tuple('0123456789"'))]

    def until(self, wanted: list[Any]) -> None:
        deadline = time.monotonic() + 30
        while self.values != wanted:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, f"{wanted} were not heard: {self.said}"
            time.sleep(0.02)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)


def until_clients(server: Server, count: int) -> None:
    deadline = time.monotonic() + 20
    while server.get("/left").json()["clients"] != count:
        assert time.monotonic() < deadline, f"there are not {count} clients"
        time.sleep(0.02)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_recipe_hears_all_and_nothing_twice_over_cuts_and_blocks_without_data(
    recipe: Block, server: Server, tmp_path: Path
) -> None:
    until_clients(server, 0)
    with Proxy(server.port) as line:
        _go_through(Heard(recipe, f"http://127.0.0.1:{line.port}/events", tmp_path), server, line)


def _go_through(heard: Heard, server: Server, line: Proxy) -> None:
    try:
        until_clients(server, 1)
        server.post("/emit?start=0")
        heard.until([0])
        for n, cut in ((1, lambda: server.post("/disconnect-all")), (4, line.cut)):
            server.post("/emit?topic=others")  # moves the id, and the next heartbeat says so
            time.sleep(0.5)
            cut()
            server.post(f"/emit?count=2&start={n}")
            heard.until(list(range(n + 2)))
            server.post(f"/emit?start={n + 2}")
            heard.until(list(range(n + 3)))
    finally:
        heard.end()
    assert "Traceback" not in heard.said


class Answering(ThreadingHTTPServer):
    """Answers requests in turn with 503, a stream that ends, 503 again, and the last answer from then on."""

    daemon_threads = True

    def __init__(self, last: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        away = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<p>503"
        stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        self.left = [away, stream + b'retry: 50\nid: a-1\n\nid: a-2\ndata: {"n":0}\n\n', away, last]
        self.ids: list[str | None] = []


class Answer(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.ids.append(self.headers["Last-Event-ID"])
        self.wfile.write(self.server.left[0] if len(self.server.left) == 1 else self.server.left.pop(0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


THAT_STOP = [recipe for recipe in RECIPES if recipe.language == "python" or recipe.heading == "fetch-event-source"]
"""Those that tell a passing answer from one that stays; the page says of the others what they do."""


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>Log in",
    ],
    ids=["204", "a page to log in"],
)
def test_a_recipe_comes_back_after_503_and_stays_away_after(last: bytes, tmp_path: Path) -> None:
    with ExitStack() as stack:
        programs = []
        for number, recipe in enumerate(THAT_STOP):
            answering = stack.enter_context(Answering(last))
            stack.callback(answering.shutdown)
            Thread(target=answering.serve_forever, args=(0.05,), daemon=True).start()
            (directory := tmp_path / str(number)).mkdir()
            heard = Heard(recipe, f"http://127.0.0.1:{answering.server_port}/events", directory)
            stack.callback(heard.end)
            programs.append((recipe, heard, answering))
        for recipe, heard, answering in programs:
            heard.process.wait(60)
            assert heard.values == [0], f"{recipe}: {heard.said}"
            assert answering.ids == [None, None, "a-2", "a-2"], f"{recipe}: {heard.said}"


def test_a_recipe_is_told_of_a_gap(server: Server, tmp_path: Path) -> None:
    for number, recipe in enumerate(RECIPES):
        (directory := tmp_path / str(number)).mkdir()
        heard = Heard(recipe, f"{server.url}/events?last_event_id=nobodys", directory)
        try:
            heard.until(["gap"])
        finally:
            heard.end()
    until_clients(server, 0)
