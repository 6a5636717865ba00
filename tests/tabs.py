"""Tabs that tests connect by hand, on `/blank` of `tests/apps/pages_slow.py`; and their workers, which may die."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

from playwright.sync_api import Browser, BrowserContext, Page
from playwright.sync_api import Error as PlaywrightError

from nitro.testing.conformance import eventually

SCRIPT = "/nitro/client.js"
CONNECT = """async ([url, options, script]) => {
  const { connect } = await import(script);
  Object.assign(window, { heard: [], gaps: [], states: [], errors: [], openAfter: 0 });
  addEventListener("error", (event) => errors.push(String(event.message)));
  const began = performance.now();
  window.live = connect(url, options);
  live.onstate = (state, error) => {
    states.push([state, error?.status ?? null]);
    if (state === "open") openAfter ||= performance.now() - began;
  };
  live.on("*", (data, { topic, id }) => heard.push([topic, data, id]));
  live.on("gap", (gap) => gaps.push(gap));
}"""
"""The page keeps what the tests ask for; `openAfter` is how many milliseconds it took to be open."""


class Evaluates(Protocol):
    """A page of any browser, and of Playwright's."""

    def evaluate(self, expression: str) -> Any: ...


def blank_tab(context: BrowserContext, url: str) -> Page:
    tab = context.new_page()
    tab.goto(f"{url}/blank")
    return tab


def load(tab: Page) -> None:
    """Load the script, which else would wait for a worker that loads it: Chromium loads a URL once at a time."""
    tab.evaluate(f"import('{SCRIPT}').then(() => 0)")


def connect(tab: Page, script: str = SCRIPT, url: str = "/events", **options: object) -> Page:
    """Connect, and wait until it is open."""
    tab.evaluate(CONNECT, [url, options, script])
    wait_for(tab, "live.state === 'open'")
    return tab


def connected_tab(context: BrowserContext, url: str, **options: object) -> Page:
    return connect(blank_tab(context, url), **options)  # type: ignore[arg-type]


def wait_for(tab: Evaluates, condition: str, seconds: float = 20) -> None:
    eventually(lambda: tab.evaluate(condition), condition, seconds)


def are_open(tabs: Sequence[Page], seconds: float) -> None:
    eventually(lambda: all(tab.evaluate("window.live?.state === 'open'") for tab in tabs), "all are open", seconds)


def kill_workers(browser: Browser) -> int:
    """End the shared workers of all tabs, as a browser does that is short of memory; how many there were."""
    session = browser.new_browser_cdp_session()
    killed = 0
    for target in session.send("Target.getTargets")["targetInfos"]:
        if target["type"] == "shared_worker":
            with contextlib.suppress(PlaywrightError):  # it may be gone by itself
                session.send("Target.closeTarget", {"targetId": target["targetId"]})
                killed += 1
    session.detach()
    return killed


def crash(tab: Page) -> None:
    """End the process that the tab is in, and whatever it started, without a word."""
    with contextlib.suppress(PlaywrightError):
        tab.goto("chrome://crash", timeout=3000)
