"""Time from the start of a page's module to its first event, in Chromium: `python -m benchmarks.first_event`.

The page asks for what came behind a position, so its first event is there already. Each way in a browser context of its
own; the second tab of a context finds the connection open.
"""

from __future__ import annotations

import json
import statistics
from urllib.parse import quote

from playwright.sync_api import BrowserContext, Page, sync_playwright
from tests.conftest import CHROMIUM_FLAGS
from tests.engines import CHROMIUM
from tests.servers import Server

RUNS = 15
NATIVE = """since => new Promise((resolve) => { const began = performance.now();
  new EventSource(`/events?last_event_id=${since}`).onmessage = () => resolve(performance.now() - began); })"""
CLIENT = """since => new Promise(async (resolve) => { const began = performance.now();
  const { connect } = await import("/nitro/client.js");
  connect("/events", { since, share: SHARE }).on("*", () => resolve(performance.now() - began)); })"""
WAYS = {
    "EventSource": NATIVE,
    "connect, share: false": CLIENT.replace("SHARE", "false"),
    "connect": CLIENT.replace("SHARE", "true"),
}


def blank(context: BrowserContext, server: Server) -> Page:
    page = context.new_page()
    page.goto(f"{server.url}/page?options={quote(json.dumps(None))}")
    return page


def main() -> None:
    with Server("tests.apps.pages:app") as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        since = server.post("/emit", json=[]).json()["position"]
        server.post("/emit", json=[["a", 1]])
        for name, script in WAYS.items():
            first, second = [], []
            for _ in range(RUNS):
                context = chromium.new_context()
                first.append(blank(context, server).evaluate(script, since))
                second.append(blank(context, server).evaluate(script, since))
                context.close()
            print(f"{name:22} {statistics.median(first):6.1f} ms, in a second tab {statistics.median(second):6.1f} ms")
        chromium.close()


if __name__ == "__main__":
    main()
