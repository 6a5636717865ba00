"""The inspector's page in Chromium, over real workers: what is seen, what can be done, by whom, and at which price.

`make screenshots` puts what is taken here into the documentation.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.brokers import BROKERS
from tests.pictures import pressed
from tests.servers import ROOT, Server, wait_for
from tests.sse import Stream
from tests.workers import Workers

pytestmark = pytest.mark.browser
APP = "tests.apps.inspector:app"
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 780}


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two of one application, which refuse a user's third client."""
    with BROKERS["redis"](tmp_path_factory.mktemp("redis")) as broker:
        environment = {"NITRO_BROKER_URL": broker.url, "NITRO_MAX_CLIENTS_PER_USER": "2"}
        with Workers(APP, {**environment, "NITRO_RETRY_MILLISECONDS": "200"}, 2) as workers:
            yield workers


@contextlib.contextmanager
def looking(
    browser: Browser, server: Server, size: Any = DESK, scheme: Any = "light", mount: str = "/inspector", scale: int = 1
) -> Iterator[Page]:
    """The page in a browser whose cookie says that it is an administrator's; nothing of it may fail."""
    context = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=scale)
    context.add_cookies([{"name": "admin", "value": "ada", "url": server.url}])
    page = context.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("console", lambda said: failed.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(f"{server.url}{mount}/")
    expect(page.locator("#state")).to_have_text("Live")
    try:
        yield page
        assert failed == []
    finally:
        context.close()


@contextlib.contextmanager
def crowd(workers: Workers) -> Iterator[list[Stream]]:
    """Twenty people at each of two workers, one of them twice, and one who came with an id that no log has."""
    names = ["ada", "ben", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "june"]
    names += ["kai", "lena", "milo", "nina", "otto", "pia", "quin", "rosa", "sam", "tia", "ada"]
    with contextlib.ExitStack() as stack:
        streams: list[Stream] = []
        for place, server in enumerate(workers.servers):
            for name in names:
                path = f"/events?user={name}&topics=order.*,user.{name}.*&room=lobby"
                streams.append(stack.enter_context(Stream(server.port, path)).read_head())
            lost = f"/events?user=lost{place}&topics=order.*"
            streams.append(stack.enter_context(Stream(server.port, lost, "Last-Event-ID: gone-7\r\n")).read_head())
        yield streams


def emit(server: Server, topic: str, count: int = 1) -> None:
    text = "A poster of the night sky, 50 × 70 cm"
    httpx.post(f"{server.url}/emit", params={"topic": topic, "count": count, "text": text}).raise_for_status()


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def test_the_state_of_all_workers_is_seen_at_a_glance(workers: Workers, browser: Browser) -> None:
    one, other = workers.servers
    with crowd(workers), looking(browser, one) as page:
        expect(page.locator("#verdict")).to_have_text("All is well")
        expect(page.locator("#facts")).to_contain_text(re.compile(r"Workers\s*2"))
        expect(page.locator("#charts")).to_contain_text("44")
        emit(one, "order.placed", 30)
        emit(other, "order.shipped", 10)
        expect(page.locator("#top-topic-rows tr").first).to_contain_text("order.placed")
        expect(page.locator("#top-topic-rows tr").nth(1)).to_contain_text("order.shipped")
        for server in workers.servers:
            assert httpx.get(f"{server.url}/events?user=ada").status_code == 429
        expect(page.locator("#losses")).to_contain_text("their user has as many clients as one user may have")
        open_tab(page, "Workers")
        for server in workers.servers:
            expect(page.locator("#worker-rows")).to_contain_text(str(server.process.pid))


def test_clients_are_found_opened_and_disconnected(workers: Workers, browser: Browser) -> None:
    with crowd(workers), looking(browser, workers.servers[0]) as page:
        open_tab(page, "Clients")
        expect(page.locator("#clients .matching")).to_have_text("44 clients")
        page.get_by_placeholder("Filter by user").fill("NINA")
        expect(page.locator("#clients .matching")).to_have_text("2 of 44 clients match")
        expect(page.locator("#clients .rows .client:not(.is-empty)")).to_have_count(2)
        page.get_by_role("button", name="nina").first.click()
        dialog = page.locator("#client")
        expect(dialog).to_contain_text("user.nina.*")
        dialog.get_by_role("button", name="Disconnect the user").click()
        question = page.get_by_role("alertdialog")
        expect(question).to_contain_text("Disconnect all clients of nina?")
        question.get_by_role("button", name="Cancel").click()
        expect(question).to_be_hidden()
        dialog.get_by_role("button", name="Disconnect the user").click()
        question.get_by_role("button", name="Disconnect the user").click()
        expect(dialog.locator(".done")).to_contain_text("All clients of 'nina' are ended")
        page.keyboard.press("Escape")
        expect(page.locator("#clients .matching")).to_have_text("0 of 42 clients match")
        page.get_by_placeholder("Filter by user").fill("")
        page.get_by_role("columnheader", name="User").get_by_role("button").click()
        expect(page.locator("#clients .rows .client[aria-rowindex='2'] .name")).to_have_text("ada")


def test_a_tail_follows_a_pattern_and_a_test_event_is_emitted(workers: Workers, browser: Browser) -> None:
    one, other = workers.servers
    with looking(browser, one) as page:
        open_tab(page, "Tail")
        page.get_by_placeholder("todo.*").fill("order..x")
        page.get_by_role("button", name="Follow").click()
        expect(page.locator("#tail .error").first).to_contain_text("order..x")
        page.get_by_placeholder("todo.*").fill("order.*")
        page.get_by_role("button", name="Follow").click()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        expect(page.locator("#tail .tail-state")).not_to_contain_text("Connecting")
        emit(other, "order.placed")
        expect(page.locator("ol.tail li")).to_have_count(1)
        expect(page.locator("ol.tail li")).to_contain_text('"n":0')
        form = page.locator("#emit")
        form.get_by_label("Topic").fill("order.tested")
        form.get_by_label("Payload").fill("{")
        form.get_by_role("button", name="Emit").click()
        expect(form.locator(".error")).to_contain_text("The payload is no JSON")
        form.get_by_label("Payload").fill('{"big": 12345678901234567890}')
        form.get_by_role("button", name="Emit").click()
        expect(form.locator(".done")).to_have_text("order.tested is emitted.")
        expect(page.locator("ol.tail li").first).to_contain_text("12345678901234567890")
    with looking(browser, one, mount="/careful") as page:
        open_tab(page, "Tail")
        expect(page.locator("#no-payloads")).to_be_visible()
        expect(page.locator("#emit-card")).to_be_hidden()


def test_everything_is_reached_by_the_keyboard_and_the_focus_is_seen(workers: Workers, browser: Browser) -> None:
    with crowd(workers), looking(browser, workers.servers[0]) as page:
        page.get_by_role("tab", name="Overview").focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name="Clients")).to_be_focused()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        expect(page.locator("#clients .rows .name").first).to_have_text(re.compile(r"\w"))
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.classList.contains('name')"):
                break
        page.keyboard.press("ArrowDown")
        name = page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Enter")
        expect(page.locator("#client-title")).to_contain_text(name)


def test_a_session_that_ends_and_a_server_that_goes_are_told(browser: Browser) -> None:
    server = Server(APP).wait_until_up()
    try:
        with looking(browser, server) as page:
            server.kill()
            expect(page.locator("#state")).to_have_text("Reconnecting")
            expect(page.locator("#banner")).to_be_visible()
            server = Server(APP, port=server.port).wait_until_up()
            expect(page.locator("#state")).to_have_text("Live", timeout=20_000)
            page.context.clear_cookies()
            open_tab(page, "Tail")
            page.locator("#emit").get_by_label("Topic").fill("order.tested")
            page.locator("#emit").get_by_role("button", name="Emit").click()
            expect(page.locator("#banner-words")).to_contain_text("Your session has ended")
    finally:
        server.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_looks_as_in_the_documentation(
    size: dict[str, int], scheme: str, workers: Workers, browser: Browser, tmp_path: Path
) -> None:
    pictures = Path(os.environ.get("NITRO_SCREENSHOTS", tmp_path))
    with crowd(workers), looking(browser, workers.servers[0], size, scheme, scale=2) as page:
        for turn in range(8):
            emit(workers.servers[turn % 2], "order.placed", 20 + 7 * (turn % 3))
            emit(workers.servers[turn % 2], "order.shipped", 8)
            emit(workers.servers[turn % 2], "user.ada.mail", 2)
            if turn == 4:
                for server in workers.servers:
                    assert httpx.get(f"{server.url}/events?user=ada").status_code == 429
            page.wait_for_timeout(1000)  # a report later: what is seen is a minute of an application
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the screen"
        shoot(page, pictures, "inspector", size, scheme)
        open_tab(page, "Clients")
        page.get_by_placeholder("Filter by user").fill("a")
        expect(page.locator("#clients .matching")).to_contain_text("match")
        expect(page.locator("#clients .rows .client:not(.is-empty)").first).to_be_visible()
        shoot(page, pictures, "inspector-clients", size, scheme)
        open_tab(page, "Tail")
        page.get_by_placeholder("todo.*").fill("order.*")
        page.get_by_role("button", name="Follow").click()
        expect(page.locator("#tail .tail-state")).not_to_contain_text("Connecting")
        for topic in ("order.placed", "order.shipped", "order.placed"):
            emit(workers.servers[1], topic, 2)
        expect(page.locator("ol.tail li")).to_have_count(6)
        shoot(page, pictures, "inspector-tail", size, scheme)


def shoot(page: Page, pictures: Path, name: str, size: dict[str, int], scheme: str) -> None:
    """Take a picture; those of the documentation have to be there."""
    page.evaluate("document.activeElement.blur()")
    suffix = ("-phone" if size is PHONE else "") + ("-dark" if scheme == "dark" else "")
    picture = pictures / f"{name}{suffix}.png"
    shown = {"inspector", "inspector-clients", "inspector-tail-dark"}
    if picture.stem in shown or pictures.name != "images":
        picture.write_bytes(pressed(page.screenshot(animations="disabled")))
        width, height = struct.unpack(">II", picture.read_bytes()[16:24])
        assert (width, height) == (2 * size["width"], 2 * size["height"])
    if picture.stem in shown:
        assert (ROOT / "docs/images" / picture.name).exists(), "make screenshots"


COUNTS_REPORTS = """
window.reports = 0;
const add = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (name, ...rest) {
  if (name === "report") add.call(this, name, () => { window.reports += 1; });
  return add.call(this, name, ...rest);
};
"""


@pytest.mark.timed  # Chromium's ScriptDuration goes on while others have the processor
def test_ten_thousand_clients_slow_neither_the_page_nor_the_server(browser: Browser) -> None:
    with Workers(APP, {"INSPECTED_CLIENTS": "10000"}, 1) as workers, looking(browser, workers.servers[0]) as page:
        (server,) = workers.servers
        page.add_init_script(COUNTS_REPORTS)
        page.reload()
        open_tab(page, "Clients")
        expect(page.locator("#clients .matching")).to_have_text("10,000 clients")
        page.locator("#clients .rows").evaluate("rows => rows.scrollTop = rows.scrollHeight / 2")
        shown = page.locator("#clients .rows .client:not(.is-empty) .name")
        expect(shown.first).to_have_text(re.compile(r"user-[45]\d\d\d"))
        assert page.locator("#clients .rows .client").count() < 60, "drawn as far as it is seen"
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        wait_for(lambda: page.evaluate("window.reports") > 2, seconds=60)
        before = script_seconds(session), page.evaluate("window.reports"), server_seconds(server), time.monotonic()
        wait_for(lambda: page.evaluate("window.reports") >= before[1] + 8, seconds=60)
        after = script_seconds(session), page.evaluate("window.reports"), server_seconds(server), time.monotonic()
        script, reports, used, seconds = (late - early for late, early in zip(after, before, strict=True))
        print(f"{1000 * script / reports:.1f} ms of script a report, {100 * used / seconds:.2f} % of a core")
        assert script / reports < 0.02
        assert used / seconds < 0.03


def script_seconds(session: CDPSession) -> float:
    """How long scripts of the page have run."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "ScriptDuration"))


def server_seconds(server: Server) -> float:
    """How long a server has kept a core busy."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
