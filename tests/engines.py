"""Browsers other than Chromium, each driven over the protocol that it speaks itself: no driver has to be downloaded."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright
from websockets.sync.client import ClientConnection, connect

from tests.servers import free_port

FIREFOX = Path("/usr/bin/firefox-esr")
WEBKIT_DRIVER = Path("/usr/bin/WebKitWebDriver")
MINI_BROWSER = Path("/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser")
XVFB = Path("/usr/bin/Xvfb")
CHROMIUM = Path("/usr/bin/chromium")
PREFERENCES = {"browser.shell.checkDefaultBrowser": False, "datareporting.policy.dataSubmissionEnabled": False}
STARTS_WITHIN_SECONDS = 60
WAYS: dict[str, dict[str, object]] = {"worker": {}, "leader": {"worker": False}, "alone": {"share": False}}
"""How tabs share a connection: options of `connect`."""


class Tab(Protocol):
    """A tab of any browser."""

    def go(self, url: str) -> None: ...
    def back(self) -> None: ...
    def reload(self) -> None: ...
    def close(self) -> None: ...
    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""


class Engine(Protocol):
    """A browser that was started.

    Attributes:
        caches_pages: whether one that had a stream is still there when its user goes back to it.
    """

    caches_pages: bool

    def open(self, kind: str = "tab") -> Tab:
        """A new tab, or a `"window"`."""


@contextlib.contextmanager
def opening(engine: Engine) -> Iterator[Callable[..., Tab]]:
    """`engine.open`, but the tabs are closed at the end."""
    tabs: list[Tab] = []

    def opened(kind: str = "tab") -> Tab:
        tabs.append(engine.open(kind))
        return tabs[-1]

    yield opened
    for tab in tabs:
        with contextlib.suppress(RuntimeError):  # the test has closed it
            tab.close()


def _missing(*programs: Path) -> None:
    for program in programs:
        if not program.exists():
            pytest.skip(f"NO BROWSER: {program} is missing; install what PROGRAMS in the Makefile names for it")


@contextlib.contextmanager
def _running(command: list[str], directory: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program and what it starts, all of which end."""
    with (directory / f"{Path(command[0]).name}.txt").open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "HOME": str(directory), **environment}, stdout=subprocess.PIPE, stderr=output
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


@dataclass(frozen=True)
class _FirefoxTab:
    engine: Firefox
    context: str

    def go(self, url: str) -> None:
        self.engine.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def back(self) -> None:
        self.engine.ask("browsingContext.traverseHistory", context=self.context, delta=-1)

    def reload(self) -> None:
        self.engine.ask("browsingContext.reload", context=self.context, wait="complete")

    def close(self) -> None:
        self.engine.ask("browsingContext.close", context=self.context)

    def evaluate(self, expression: str) -> Any:
        text = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        answer = self.engine.ask(
            "script.evaluate", expression=text, target={"context": self.context}, awaitPromise=True
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])


class Firefox:
    """Firefox over WebDriver BiDi, a WebSocket of its own."""

    caches_pages = False

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._count = 0
        self.ask("session.new", capabilities={})

    def ask(self, method: str, **params: object) -> Any:
        self._count += 1
        self._line.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            answer = json.loads(self._line.recv(60))
            if answer.get("id") == self._count:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['error']}: {answer['message']}")
                return answer["result"]

    def open(self, kind: str = "tab") -> Tab:
        return _FirefoxTab(self, self.ask("browsingContext.create", type=kind)["context"])

    def end(self) -> None:
        self.ask("browser.close")


@contextlib.contextmanager
def firefox(directory: Path) -> Iterator[Engine]:
    _missing(FIREFOX)
    profile = directory / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    port = free_port()
    options = ["--headless", "--no-remote", "--profile", str(profile), f"--remote-debugging-port={port}"]
    with _running([str(FIREFOX), *options, "about:blank"], directory) as process:
        _wait_for(port)
        with connect(f"ws://127.0.0.1:{port}/session", max_size=None, proxy=None) as line:
            engine = Firefox(line)
            yield engine
            engine.end()
        process.wait(20)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, f"the browser did not come up within {STARTS_WITHIN_SECONDS} s"
        time.sleep(0.1)


@dataclass(frozen=True)
class _WebKitTab:
    engine: WebKit
    handle: str

    def _ask(self, method: str, path: str, **body: object) -> Any:
        self.engine.ask("POST", "/window", handle=self.handle)
        return self.engine.ask(method, path, **body)

    def go(self, url: str) -> None:
        self._ask("POST", "/url", url=url)

    def back(self) -> None:
        self._ask("POST", "/back")

    def reload(self) -> None:
        self._ask("POST", "/refresh")

    def close(self) -> None:
        self._ask("DELETE", "/window")

    def evaluate(self, expression: str) -> Any:
        text = f"Promise.resolve({expression}).then((value) => arguments[0](JSON.stringify(value ?? null)))"
        return json.loads(self._ask("POST", "/execute/async", script=text, args=[]))


class WebKit:
    """WebKitGTK over WebDriver, which is HTTP."""

    caches_pages = True

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False, verify=False)
        browser = {"binary": str(MINI_BROWSER), "args": ["--automation"]}
        wanted = {"browserName": "MiniBrowser", "webkitgtk:browserOptions": browser}
        self._session = ""
        made = self.ask("POST", "/session", capabilities={"alwaysMatch": wanted})
        self._session = f"/session/{made['sessionId']}"
        self._first = self.ask("GET", "/window")  # the session goes with its last window

    def ask(self, method: str, path: str, **body: object) -> Any:
        answer = self._http.request(method, self._session + path, json=body if method == "POST" else None)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise RuntimeError(f"{method} {path}: {value}")
        return value

    def open(self, kind: str = "tab") -> Tab:
        self.ask("POST", "/window", handle=self._first)
        return _WebKitTab(self, self.ask("POST", "/window/new", type=kind)["handle"])

    def end(self) -> None:
        self.ask("DELETE", "")
        self._http.close()


@contextlib.contextmanager
def webkit(directory: Path) -> Iterator[Engine]:
    _missing(WEBKIT_DRIVER, MINI_BROWSER, XVFB)
    port = free_port()
    with _running([str(XVFB), "-displayfd", "1", "-nolisten", "tcp"], directory) as screen:
        assert screen.stdout is not None
        display = f":{screen.stdout.readline().decode().strip()}"
        environment = {
            "DISPLAY": display,
            "GDK_BACKEND": "x11",
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # it can't have one as root
            "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        }
        with _running([str(WEBKIT_DRIVER), f"--port={port}"], directory, **environment):
            _wait_for(port)
            engine = WebKit(port)
            yield engine
            engine.end()


@dataclass(frozen=True)
class _ChromiumTab:
    page: Page

    def go(self, url: str) -> None:
        self.page.goto(url)

    def back(self) -> None:
        self.page.go_back(wait_until="commit")

    def reload(self) -> None:
        self.page.reload()

    def close(self) -> None:
        self.page.close()

    def evaluate(self, expression: str) -> Any:
        return json.loads(self.page.evaluate(f"async () => JSON.stringify((await ({expression})) ?? null)"))


@dataclass(frozen=True)
class Chromium:
    """Chromium over Playwright, for those who compare."""

    context: BrowserContext
    caches_pages = True

    def open(self, kind: str = "tab") -> Tab:
        return _ChromiumTab(self.context.new_page())


@contextlib.contextmanager
def chromium(directory: Path) -> Iterator[Engine]:
    _missing(CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--no-first-run"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield Chromium(browser.new_context())
        browser.close()


ENGINES: Final[dict[str, Callable[[Path], contextlib.AbstractContextManager[Engine]]]] = {
    "chromium": chromium,
    "firefox": firefox,
    "webkit": webkit,
}
