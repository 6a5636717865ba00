"""Faults at random around the tabs of one browser, judged by the oracle.

`python -m tests.browser_chaos --engine firefox --minutes 60 --seed 7`. Tabs are opened, reloaded, left and returned to,
and closed; the server is killed or ended and started again; the network is cut, or stalls.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
from playwright.sync_api import Error as PlaywrightError

from nitro.testing.conformance import eventually
from nitro.testing.oracle import Listener, Sent, check
from tests.engines import ENGINES, Engine
from tests.servers import Server
from tests.services import Proxy

OPTIONS = ("--no-access-log",)
APP = "tests.apps.pages:app"
QUICK = {"NITRO_RETRY_MILLISECONDS": "200", "NITRO_HEARTBEAT_SECONDS": "0.5"}
WAYS: list[dict[str, object]] = [{}, {"worker": False}, {"share": False}]
MOST_TABS = 5  # a browser has six connections for a host
CATCH_UP_SECONDS = 90
START = """(window.log ??= (
  window.log = JSON.parse(sessionStorage.getItem('log') ?? '[]'),
  open_('/events', %s),
  live.on('*', (data, { id }) => log.push([id, data])),
  live.on('gap', (gap) => log.push([gap.resumed_at, null])),
  addEventListener('pagehide', () => sessionStorage.setItem('log', JSON.stringify(log))),
  log), 1)"""


class Visit:
    """A tab from its opening to its end, and what it heard."""

    def __init__(self, chaos: Chaos, number: int) -> None:
        rng = chaos.rng
        self.chaos = chaos
        self.topics = rng.choice(["a", "b", "ab"])
        options = {"topics": [f"{letter}.*" for letter in self.topics], **rng.choices(WAYS, [2, 2, 1])[0]}
        self.start = START % json.dumps(options)
        self.log = Listener(
            f"tab {number} {options}", since=float("inf"), hears=lambda sent: sent.topic[0] in self.topics
        )
        self.newest = 0
        self.tab = chaos.engine.open()
        self.load(lambda: self.tab.go(f"{chaos.url}/page"))

    def load(self, act: Callable[[], None]) -> None:
        """Load a page, again while there is no server, and have it listen."""
        while True:
            try:
                act()
                eventually(lambda: self.tab.evaluate("window.open_ ? 1 : 0"), "the page", 5)
                self.tab.evaluate(self.start)
                return
            except (RuntimeError, AssertionError, PlaywrightError):
                act = partial(self.tab.go, f"{self.chaos.url}/page")

    def read(self) -> None:
        state, entries = self.tab.evaluate("[live.state, log.splice(0)]")
        if state == "open" and self.log.since == float("inf"):
            self.log.since = time.monotonic()
        for id, n in entries:
            if n is None:
                self.log.told_of_gap(id)
            else:
                self.log.heard(id, "server", n)
                self.newest = n

    def close(self) -> None:
        """What was emitted before the newest that it heard is what it had to hear."""
        self.read()
        newest = [sent.at for sent in self.chaos.sent if sent.n == self.newest]
        self.log.until = newest[0] if newest else float("-inf")
        self.tab.close()


class Chaos:
    """One browser, one server, and a proxy between them."""

    def __init__(self, engine: Engine, rng: random.Random, environment: dict[str, str]) -> None:
        self.engine = engine
        self.rng = rng
        self.environment = environment
        self.server = Server(APP, environment=environment, options=OPTIONS).wait_until_up()
        self.proxy = Proxy(self.server.port)
        self.url = f"http://127.0.0.1:{self.proxy.port}"
        self.sent: list[Sent] = []
        self.visits: list[Visit] = []
        self.logs: list[Listener] = []
        self.done: Counter[str] = Counter()
        self.newest = {"a": 0, "b": 0}
        self.is_over = threading.Event()

    def emit(self, topic: str) -> bool:
        n = len(self.sent) + 1
        at, outcome = time.monotonic(), False
        try:
            answer = httpx.post(
                f"{self.server.url}/emit", json=[[f"{topic}.x", n]], timeout=5, trust_env=False, verify=False
            )
            outcome = answer.status_code == 200
        except httpx.TransportError:
            time.sleep(0.05)
        self.sent.append(Sent("server", n, "acknowledged" if outcome else "unknown", topic=topic, at=at))
        if outcome:
            self.newest[topic] = n
        return outcome

    def produce(self) -> None:
        while not self.is_over.wait(0.02):
            self.emit("ab"[len(self.sent) % 2])

    def act(self) -> None:
        """One thing that users do, or that goes wrong."""
        rng, open_ = self.rng, self.visits
        what = rng.choice(["open", "close", "reload", "away", "cut", "stall", "SIGTERM", "SIGKILL", "nothing"])
        if what == "open" and len(open_) < MOST_TABS:
            open_.append(Visit(self, len(self.logs)))
            self.logs.append(open_[-1].log)
        elif what == "close" and len(open_) > 2:
            open_.pop(rng.randrange(len(open_))).close()
        elif what in ("reload", "away") and open_:
            visit = rng.choice(open_)
            if what == "reload":
                visit.load(visit.tab.reload)
            else:
                visit.tab.go("about:blank")
                time.sleep(rng.uniform(0, 2))
                visit.load(visit.tab.back)
        elif what == "cut":
            self.proxy.cut()
        elif what == "stall":
            self.proxy.stall()
            time.sleep(rng.uniform(0, 3))
            self.proxy.go_on()
        elif what.startswith("SIG"):
            if what == "SIGKILL":
                self.server.kill()
            else:
                self.server.end(signal.SIGTERM)
            time.sleep(rng.uniform(0, 2))
            self.server = Server(
                APP, environment=self.environment, options=OPTIONS, port=self.server.port
            ).wait_until_up()
        else:
            return
        self.done[what] += 1

    def run(self, seconds: float) -> bool:
        producer = threading.Thread(target=self.produce)
        with self.proxy:
            producer.start()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                self.act()
                time.sleep(self.rng.uniform(0, 1))
                for visit in self.visits:
                    visit.read()
            self.is_over.set()
            producer.join()
            for topic in "ab":
                while not self.emit(topic):
                    pass
            deadline = time.monotonic() + CATCH_UP_SECONDS
            while time.monotonic() < deadline:
                for visit in self.visits:
                    visit.read()
                if all(visit.newest == max(self.newest[topic] for topic in visit.topics) for visit in self.visits):
                    break
                time.sleep(0.1)
            states = [visit.tab.evaluate("[live.state, live.error]") for visit in self.visits]
            for visit in self.visits:
                visit.tab.close()
        self.server.end()
        verdict = check(self.sent, self.logs)
        print(f"{len(self.sent)} emitted, {dict(self.done)}, {len(self.logs)} tabs, at the end {states}\n{verdict}")
        return verdict.is_clean


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", choices=list(ENGINES), default="chromium")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    options = parser.parse_args()
    print(f"{options.engine}, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        environment = {**QUICK, "NITRO_BROKER_URL": f"sqlite:///{directory}/log.db"}
        with ENGINES[options.engine](Path(directory)) as engine:
            return 0 if Chaos(engine, random.Random(options.seed), environment).run(options.minutes * 60) else 1


if __name__ == "__main__":
    sys.exit(main())
