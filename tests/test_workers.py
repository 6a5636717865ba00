"""Several workers: the todo example under `uvicorn --workers 2`, each browser on a worker of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response

from nitro.testing.conformance import End, eventually
from tests.brokers import BROKERS, Broker
from tests.servers import ROOT, Server

pytestmark = pytest.mark.browser
LISTEN = """() => {
    window.heard = []; window.gaps = [];
    window.source = new EventSource("/events");
    source.onmessage = (event) => { const data = JSON.parse(event.data); if ("n" in data) heard.push(data.n); };
    source.addEventListener("gap", (event) => gaps.push(event.data));
    return new Promise((resolve) => { source.onopen = resolve; });
}"""


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path / "broker") as started:
        yield started


class Workers:
    """The example under two workers, and pages on them."""

    def __init__(self, broker: Broker, directory: Path, browser: Browser) -> None:
        self.environment = {
            "NITRO_BROKER_URL": broker.url,
            "NITRO_DB_URL": f"sqlite:///{directory / 'todo.db'}",
            "NITRO_RETRY_MILLISECONDS": "100",
        }
        self.browser = browser
        self.server = self.start()

    def start(self, port: int | None = None) -> Server:
        server = Server("tests.apps.workers:app", options=("--workers", "2"), environment=self.environment, port=port)
        server.wait_until_up()
        eventually(lambda: len(server.workers()) == 2, "two workers run")
        return server

    def open_page(self) -> tuple[Page, int]:
        """A page of a browser of its own, and the worker that its stream came to."""
        page = self.browser.new_context().new_page()
        workers: list[int] = []

        def note(response: Response) -> None:
            if response.url.endswith("/events"):
                workers.append(int(response.headers["x-worker"]))

        page.on("response", note)
        page.goto(self.server.url)
        page.evaluate(LISTEN)
        return page, workers[-1]

    def open_two(self) -> tuple[tuple[Page, int], tuple[Page, int]]:
        """Two pages whose streams came to different workers."""
        first = self.open_page()
        for _ in range(30):
            second = self.open_page()
            if second[1] != first[1]:
                return first, second
            second[0].context.close()
        raise AssertionError("every stream came to one worker")


@pytest.fixture
def workers(broker: Broker, tmp_path: Path, browser: Browser) -> Iterator[Workers]:
    (tmp_path / "data").mkdir()
    running = Workers(broker, tmp_path / "data", browser)
    yield running
    for context in browser.contexts:
        context.close()
    running.server.end()


def add(page: Page, title: str) -> None:
    page.get_by_role("textbox").fill(title)
    page.keyboard.press("Enter")


def test_a_change_on_one_worker_shows_in_the_browser_on_the_other(workers: Workers) -> None:
    (one, _), (other, _) = workers.open_two()
    add(one, "from the first")
    other.get_by_text("from the first").wait_for()
    add(other, "from the second")
    one.get_by_text("from the second").wait_for()
    script = "from examples.todo import Todo; Todo(title='from a cron job').save()"
    environment = {**os.environ, **workers.environment, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=30)
    for page in (one, other):
        page.get_by_text("from a cron job").wait_for()


def test_11_pages_miss_nothing_when_a_worker_and_then_the_whole_application_is_killed(
    workers: Workers, broker: Broker
) -> None:
    (one, _), (other, doomed) = workers.open_two()
    end = End(broker.log("nitro"))
    stop = threading.Event()
    sent = 0

    def emit() -> None:
        nonlocal sent
        while not stop.is_set():
            end.publish(b'{"n":%d,"id":"x"}' % sent, "todo.tick")
            sent += 1
            time.sleep(0.02)

    def wait_until_heard() -> None:
        """Both pages hear what is emitted from now on."""
        for page in (one, other):
            page.wait_for_function("sent => heard.at(-1) > sent", arg=sent)

    thread = threading.Thread(target=emit)
    thread.start()
    try:
        for page in (one, other):
            page.wait_for_function("heard.length > 10")
        os.kill(doomed, signal.SIGKILL)
        wait_until_heard()
        workers.server.kill()
        for page in (one, other):
            page.wait_for_function("source.readyState !== EventSource.OPEN")
        emitted = sent
        eventually(lambda: sent > emitted + 30, "it is away while much is emitted")
        workers.server = workers.start(workers.server.port)
        wait_until_heard()
    finally:
        stop.set()
        thread.join()
    end.flush()
    end.broker.close(1)
    for page in (one, other):
        page.wait_for_function("sent => heard.at(-1) === sent - 1", arg=sent)
        heard = page.evaluate("heard")
        assert heard == list(range(heard[0], sent)), "every one, once, in order"
        assert heard[0] < 50
        assert page.evaluate("gaps") == []
