"""`docs/tutorial.md`, done as its reader does it: each step's files in one folder, a uvicorn that reloads, Chromium.

`make screenshots` puts what is seen in the end of each step into the documentation.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from nitro.testing.conformance import eventually
from tests.pictures import VIEW, Terminal, Window, draw
from tests.servers import ROOT, Server, free_port
from tests.specification.blocks import blocks_in

pytestmark = pytest.mark.browser

RUNS_BLOCKS = {"docs/tutorial.md": ["sh", "text", "python", "html", "js"]}
TEXT: Final = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
BLOCKS: Final = list(blocks_in(TEXT))
STEPS: Final = [heading for heading in dict.fromkeys(block.heading for block in BLOCKS) if heading[0].isdigit()]
PICTURES: Final = os.environ.get("NITRO_SCREENSHOTS")
LAST_SCRIPT: Final = '<script type="module">'
PATIENCE: Final = 45_000  # the client's pauses grow up to 30 s
"""Milliseconds: a browser comes back within four seconds, and a machine may be busy."""
ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("NITRO_", "PYTEST_"))},
    **({} if PICTURES else {"NITRO_RETRY_MILLISECONDS": "200"}),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the reader has none of those that are here
    "PYTHONDONTWRITEBYTECODE": "1",  # two texts of one length that are saved in one second are one for the cache
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


def code(step: int, language: str, number: int = 1) -> str:
    """That block of that step."""
    return [each for each in BLOCKS if (each.heading, each.language) == (STEPS[step - 1], language)][number - 1].source


def newest(step: int, language: str, beginning: str = "") -> str:
    """The last block until that step, that step's included, of those that begin so."""
    until = [each for each in BLOCKS if each.heading in STEPS[:step] and each.language == language]
    return [each.source for each in until if each.source.startswith(beginning)][-1]


def main_py(step: int) -> str:
    """The file as it is in that step."""
    return newest(min(step, 6), "python")


def page_html(step: int) -> str:
    """The page with the last script that was to be put into it, and the lines that step 5 adds."""
    page, script = newest(step, "html", "<!doctype html>"), newest(step, "html", LAST_SCRIPT) if step > 2 else ""
    page = page[: page.index(LAST_SCRIPT)] + script if script else page
    (line,) = re.findall(r"^  const page = .*$", script, re.MULTILINE) if step == 5 else [""]
    return page.replace(line, code(5, "js") + line) if line else page


class Desk:
    """The reader's folder, and the terminal in which the server runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.server: Server | None = None

    def here(self, text: str) -> str:
        """The page's text, with the port that the server has here."""
        return text.replace("localhost:8000", f"localhost:{self.port}")

    def save(self, step: int) -> None:
        """Save the files of that step; the server starts, or reloads. Its data begin anew."""
        with self.reloading():
            self.write(step)

    def write(self, step: int) -> None:
        for file in self.folder.glob("nitro.db*"):
            file.unlink()
        if step > 1:
            (self.folder / "page.html").write_text(page_html(step))
        (self.folder / "main.py").write_text(main_py(step))

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """`main.py` is saved in the block."""
        starts = self.starts
        yield
        if self.server is None:
            self.start()
        else:
            eventually(lambda: self.starts > starts, "it reloads", 20)

    def save_main(self, text: str) -> None:
        with self.reloading():
            (self.folder / "main.py").write_text(text)

    @property
    def starts(self) -> int:
        return self.server.output.count("Application startup complete") if self.server else 0

    def start(self, command: str | None = None, workers: int = 1) -> None:
        """Start the server as the page says it; as step 1 does, without another command."""
        words = shlex.split(command or code(1, "sh"))
        settings = dict(word.split("=", 1) for word in words if "=" in word)
        uvicorn, app, *options = [word for word in words if "=" not in word]
        assert uvicorn == "uvicorn"
        environment = ENVIRONMENT | settings
        self.server = Server(
            app, directory=self.folder, options=tuple(options), environment=environment, port=self.port
        ).wait_until_up()
        eventually(lambda: self.starts == workers, "it has started", 20)

    @contextmanager
    def terminal(self) -> Iterator[list[str]]:
        """What the server prints in the block, as it is shown. Of two watchers the reader has the other one."""
        assert self.server is not None
        began, printed = len(self.server.output), list[str]()
        yield printed
        printed.append(as_shown(self.server.output[began:].replace("StatReload", "WatchFiles")))

    def stop(self) -> str:
        """Ctrl-C; what the server has printed."""
        if self.server is None:
            return ""
        self.server.end(signal.SIGINT)
        printed, self.server = self.server.output, None
        assert "Traceback" not in printed, printed
        return printed

    @contextmanager
    def running(self, command: str) -> Iterator[Path]:
        """Commands of the page in another terminal, of which the last goes on; the file has what they print."""
        output = self.folder / "output"
        *before, last = self.here(command).splitlines()
        with output.open("w") as file:
            process = subprocess.Popen(
                ["bash", "-c", "\n".join([*before, f"exec {last}"])],
                cwd=self.folder,
                env=ENVIRONMENT,
                stdout=file,
                stderr=subprocess.DEVNULL,
            )
        try:
            yield output
        finally:
            process.terminate()
            process.wait(10)

    def run(self, command: str) -> str:
        """What a command of the page prints."""
        ended = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=self.folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ended.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if shutil.which("curl") is None:
        pytest.skip("NO CURL: install Debian's curl to run this test")
    desk = Desk(tmp_path_factory.mktemp("todos"))
    yield desk
    desk.stop()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own, with its own cookies; what goes wrong in its pages fails the test."""
    context = browser.new_context(viewport=VIEW, device_scale_factor=2)  # type: ignore[arg-type]
    problems: list[str] = []
    context.on("weberror", lambda error: problems.append(str(error.error)))
    yield context
    context.close()
    assert problems == []


def windows(context: BrowserContext, url: str, count: int = 2) -> list[Page]:
    opened = [context.new_page() for _ in range(count)]
    for page in opened:
        page.goto(url)
    return opened


def add(page: Page, title: str) -> None:
    """By the Enter key: a click waits for two seconds in a window that isn't the one in front."""
    page.locator("[name=title]").fill(title)
    page.locator("[name=title]").press("Enter")


def show(pages: list[Page], titles: list[str]) -> None:
    for page in pages:
        expect(page.locator("#list li")).to_have_text(titles, timeout=PATIENCE)


def are(pages: list[Page], state: str) -> None:
    for page in pages:
        expect(page.locator("#state")).to_have_text(re.compile(rf"The \w+ is {state}\."), timeout=PATIENCE)


def picture(browser: Browser, step: int, *shown: Window | Terminal) -> None:
    """Take the picture of that step, if pictures are wanted; it is there in any case."""
    (path,) = re.findall(rf"\]\(images/(tutorial/{step}-[\w-]+\.png)\)", TEXT)
    if PICTURES:
        draw(browser, Path(PICTURES) / path, *shown)
    assert PICTURES or (ROOT / "docs/images" / path).exists(), "make screenshots"


def as_shown(printed: str) -> str:
    """What uvicorn printed, without its access log, and without that it waits."""
    lines = printed.splitlines(keepends=True)
    return "".join(line for line in lines if " - " not in line and "Waiting for" not in line)


def steady(text: str) -> str:
    """The text without what is another one each time: where a log begins, and when a browser shall come back."""
    return re.sub(r"retry: \d+", "retry: N", re.sub(r"\b[0-9a-f]{10}-", "EPOCH-", text))


def in_no_time(printed: str) -> str:
    """What pytest has printed, without how long it took."""
    return re.sub(r"in [\d.]+s", "in N s", printed)


def test_what_is_installed_is_what_this_is_called() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    install = BLOCKS[0].source.splitlines()[-1]
    name, extra = re.fullmatch(r"pip install '([\w-]+)\[(\w+)\]' watchfiles pytest", install).groups()  # type: ignore[union-attr]
    assert name == project["name"]
    assert {"fastapi", "uvicorn"} <= {re.match(r"\w+", each)[0] for each in project["optional-dependencies"][extra]}  # type: ignore[index]


def test_each_step_has_its_files_and_what_is_seen_in_windows_has_a_picture() -> None:
    assert [int(step[0]) for step in STEPS] == list(range(1, 9))
    assert [int(name) for name in re.findall(r"\]\(images/tutorial/(\d)-", TEXT)] == [2, 3, 4, 5, 6, 8]
    assert len({main_py(step) for step in range(1, 9)}) == 6, "steps 7 and 8 change no line"


def test_1_curl_hears_what_is_emitted(desk: Desk) -> None:
    desk.save(1)
    listen, adding = code(1, "sh", 2), code(1, "sh", 3).splitlines()
    with desk.running(listen) as output:
        eventually(lambda: "retry" in output.read_text(), "it listens", 10)
        answers = [desk.run(command) for command in adding]
        eventually(lambda: "Bread" in output.read_text(), "it hears", 10)
        heard = output.read_text()
    assert answers == ['{"title":"Milk"}', '{"title":"Bread"}']
    assert steady(heard) == steady(code(1, "text"))


def test_2_a_todo_is_in_both_windows(desk: Desk, context: BrowserContext, browser: Browser) -> None:
    desk.save(2)
    left, right = windows(context, desk.url)
    show([left, right], [])
    add(left, "Milk")
    show([left, right], ["Milk"])
    add(right, "Bread")
    show([left, right], ["Milk", "Bread"])
    picture(browser, 2, Window(left, "localhost:8000"), Window(right, "localhost:8000"))


def test_3_the_stream_begins_at_the_position(desk: Desk) -> None:
    desk.save(3)
    shown = code(3, "text")
    with desk.running(code(3, "sh")) as output:
        eventually(lambda: output.read_text().count("\n") == shown.count("\n"), "it replays", 10)
        printed = output.read_text()
    assert steady(printed) == steady(shown)
    assert len(set(re.findall(r"\b[0-9a-f]{10}-", printed))) == 1


def test_3_a_page_misses_nothing_and_is_told_when_it_must_load_anew(
    desk: Desk, context: BrowserContext, browser: Browser
) -> None:
    desk.save(3)
    left, right = windows(context, desk.url)
    show([left, right], ["Water the plants"])
    add(left, "Milk")
    show([left, right], ["Water the plants", "Milk"])
    left.reload()
    show([left, right], ["Water the plants", "Milk"])
    old, new = re.findall(r"change `(.*)` to\s+`(.*)`\s+in\s+`main.py`", TEXT)[0]
    with desk.terminal() as printed:
        desk.save_main(main_py(3).replace(old, new))
    show([left, right], [new])
    picture(
        browser,
        3,
        Terminal("first terminal", printed[0], is_wide=True),
        Window(left, "localhost:8000"),
        Window(right, "localhost:8000"),
    )


def test_4_seven_tabs_share_a_connection_and_come_back_together(
    desk: Desk, context: BrowserContext, browser: Browser
) -> None:
    desk.save(3)
    tabs = windows(context, desk.url, 6)
    show(tabs, ["Water the plants"])
    seventh = context.new_page()
    with pytest.raises(PlaywrightTimeout):
        seventh.goto(desk.url, timeout=1_500)
    for tab in [seventh, *tabs]:  # it first: a tab that is closed in the moment in which its page comes may never be
        tab.close()
    desk.save(4)
    tabs = windows(context, desk.url, 7)
    show(tabs, ["Water the plants"])
    are(tabs, "open")
    add(tabs[0], "Milk")
    show(tabs, ["Water the plants", "Milk"])
    printed = desk.stop()
    are(tabs, "waiting")
    terminal = Terminal("first terminal", as_shown(printed[printed.rfind("INFO:     Shutting") :]), is_wide=True)
    picture(browser, 4, terminal, Window(tabs[0], "localhost:8000"), Window(tabs[1], "localhost:8000"))
    with tabs[0].expect_event("requestfailed"):
        add(tabs[0], "Bread")
    expect(tabs[0].locator("[name=title]")).to_have_value("Bread")
    desk.start()
    are(tabs, "open")
    show(tabs, ["Water the plants"])


def test_5_each_user_hears_their_own(desk: Desk, context: BrowserContext, browser: Browser) -> None:
    desk.save(4)
    (stranger,) = windows(context, desk.url, 1)
    are([stranger], "open")
    desk.save(5)
    are([stranger], "closed")
    stranger.close()
    private = browser.new_context(viewport=VIEW, device_scale_factor=2)  # type: ignore[arg-type]
    (ann,) = windows(context, f"{desk.url}/login/ann", 1)
    (bob,) = windows(private, f"{desk.url}/login/bob", 1)
    are([ann, bob], "open")
    add(ann, "Milk")
    add(bob, "Bread")
    show([ann], ["Water the plants", "Milk"])
    show([bob], ["Call the printer", "Bread"])
    assert desk.run(code(5, "sh")) + "\n" == code(5, "text")
    picture(browser, 5, Window(ann, "localhost:8000"), Window(bob, "localhost:8000", "private"))
    private.close()
    who_has_not_logged_in_gets_a_link(desk, browser)


def who_has_not_logged_in_gets_a_link(desk: Desk, browser: Browser) -> None:
    """In a context of its own, since the page of step 5 ends there with an error."""
    stranger = browser.new_context()
    (page,) = windows(stranger, desk.url, 1)
    page.get_by_role("link", name="Log in as Ann").click()
    expect(page.locator("#heading")).to_have_text("ann's todos")
    stranger.close()


def test_6_rows_announce_their_changes(desk: Desk, context: BrowserContext, browser: Browser) -> None:
    desk.save(6)
    left, right = windows(context, f"{desk.url}/login/ann")
    are([left, right], "live")
    for title in ("Water the plants", "Milk", "Bread", "Order coffee"):
        add(left, title)
        expect(right.locator("#list li").last).to_contain_text(title)
    right.get_by_role("listitem").filter(has_text="Bread").get_by_role("button").click()
    rows = [f"{title}Done" for title in ("Water the plants", "Milk", "Order coffee")]
    show([left, right], rows)
    a_press_is_one_and_lasts(right, left)
    show([left, right], rows)
    picture(browser, 6, Window(left, "localhost:8000"), Window(right, "localhost:8000"))
    desk.save_main(main_py(6))
    are([left, right], "live")
    left.reload()
    show([left, right], rows)
    who_has_not_logged_in_gets_a_link(desk, browser)


def a_press_is_one_and_lasts(pressed: Page, other: Page) -> None:
    """Whatever comes into the list between a button's going down and up, and in between two clicks."""
    for title in ("Bring out the bins", "Call Bob"):
        add(other, title)
    last = pressed.get_by_role("listitem").filter(has_text="Call Bob")
    last.get_by_role("button").hover()
    pressed.mouse.down()
    add(other, "Read")
    expect(pressed.locator("#list li").last).to_contain_text("Read")
    pressed.mouse.up()
    expect(last).to_have_count(0)
    sent: list[str] = []
    pressed.on("request", lambda request: sent.append(request.url))
    pressed.get_by_role("listitem").filter(has_text="Bring out the bins").get_by_role("button").click()
    expect(pressed.locator("#list li")).to_have_count(4)
    pressed.mouse.down(click_count=2)
    pressed.mouse.up(click_count=2)
    pressed.get_by_role("listitem").filter(has_text="Read").get_by_role("button").click()
    expect(pressed.locator("#list li")).to_have_count(3)
    assert len(sent) == 2


def test_7_the_test_passes_and_fails_when_it_should(desk: Desk) -> None:
    desk.stop()
    desk.write(7)
    test, conftest = code(7, "python", 1), code(7, "python", 2)
    (desk.folder / "test_main.py").write_text(test)
    (desk.folder / "test_again.py").write_text(test)
    (desk.folder / "conftest.py").write_text(conftest)
    (desk.folder / "nitro.db").write_text("what the server has stored, in a file that no test may open")
    activate, command = code(7, "sh").splitlines()
    assert activate in BLOCKS[0].source
    assert "2 passed" in desk.run(command), "a second test finds an empty list, too"
    (desk.folder / "test_again.py").unlink()
    printed = desk.run(command)
    assert in_no_time(printed) == in_no_time(code(7, "text"))
    assert (desk.folder / "nitro.db").read_text().startswith("what the server has stored")
    (taken,) = re.findall(r"Take\s+`(.*)` out of `main.py`", TEXT)
    assert taken in main_py(7)
    (desk.folder / "main.py").write_text(main_py(7).replace(taken, ""))
    assert "1 failed" in desk.run(command)


def test_8_workers_and_other_programs_share_a_log(desk: Desk, context: BrowserContext, browser: Browser) -> None:
    desk.stop()
    desk.write(8)
    serving, script = code(8, "sh", 1), code(8, "sh", 2)
    desk.start(serving, workers=2)
    assert desk.server is not None
    printed = desk.server.output.replace(str(desk.port), "8000")
    left, right = windows(context, f"{desk.url}/login/ann")
    are([left, right], "live")
    add(left, "Water the plants")
    desk.run(script)
    rows = ["Water the plantsDone", "Order coffeeDone"]
    show([left, right], rows)
    first = Terminal("first terminal", f"$ {serving}{as_shown(printed)}")
    second = Terminal("second terminal", f"$ {script}")
    picture(browser, 8, first, second, Window(left, "localhost:8000"), Window(right, "localhost:8000"))
    desk.stop()
    are([left, right], "waiting")
    desk.run(script)
    desk.start(serving, workers=2)
    are([left, right], "live")
    show([left, right], [*rows, rows[-1]])
