"""The documentation as a site: built without a warning, complete, usable in Chromium, by keyboard and by programs."""

from __future__ import annotations

import functools
import gzip
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response
from website import reading
from website.links import relinked
from website.places import SITE, SITE_URL
from website.reference import MissingName, Reference
from website.staging import description

import nitro
import nitro.errors
from tests.documents import ROOT, Document

pytestmark = pytest.mark.browser

AXE: Final = ROOT / "tests/npm/node_modules/axe-core/axe.min.js"
FIRST_PAGE_BYTES: Final = 200 * 1024
LISTED: Final = [page for _, page in reading.in_navigation()]
ALIKE: Final = ["", "tutorial/", "how-to/access/", "reference/clients/", "concepts/order/", "about/performance/"]
"""Pages of each kind, by their addresses."""
LEFT: Final = "net::ERR_ABORTED"
"""A request of a page that was left while it went on."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The URL of the site, built anew."""
    done = subprocess.run([sys.executable, "-m", "website"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stderr
    handler = functools.partial(Quiet, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@contextmanager
def looking(browser: Browser, width: int = 1280, scheme: Any = "light") -> Iterator[tuple[Page, list[str]]]:
    """A page, and what goes wrong in it: what its console says, what fails, and what it asks of others."""
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()

    def hear(said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            wrong.append(f"{said.type}: {said.text}")

    page.on("console", hear)
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def fail(request: Request) -> None:
        if request.failure != LEFT:
            wrong.append(f"failed: {request.url}")

    page.on("requestfailed", fail)

    def check(response: Response) -> None:
        if response.status >= 400 or urlsplit(response.url).hostname != "127.0.0.1":
            wrong.append(f"{response.status}: {response.url}")

    page.on("response", check)
    yield page, wrong
    context.close()


def address(page: str) -> str:
    """Where a page is, by its Markdown."""
    return page.removesuffix("index.md") if page.endswith("index.md") else f"{page.removesuffix('.md')}/"


class Anchors(HTMLParser):
    """The links and the ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is not None and name in {"href", "src"}:
                self.links.append(value)
            elif value is not None and name == "id":
                self.ids.add(value)


def test_every_link_leads_somewhere(site: str) -> None:
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in SITE.rglob("*.html")}
    assert len(pages) > 80
    broken = []
    for path, anchors in pages.items():
        for link in anchors.links:
            url = urlsplit(link)
            if url.scheme or url.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].ids if target in pages else {url.fragment}
            if (
                not target.is_relative_to(SITE)
                or not target.exists()
                or (url.fragment and unquote(url.fragment) not in known)
            ):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert broken == []


def test_every_page_is_whole_on_a_small_screen_and_asks_nobody_else(site: str, browser: Browser) -> None:
    too_wide = []
    with looking(browser, width=360) as (page, wrong):
        for each in LISTED:
            page.goto(site + address(each))
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                too_wide.append(each)
            assert page.locator("h1").count() == 1, each
    assert (wrong, too_wide) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_structure_are_what_wcag_asks_for(site: str, browser: Browser, scheme: str) -> None:
    found = []
    with looking(browser, scheme=scheme) as (page, wrong):
        for each in ALIKE:
            page.goto(site + each)
            page.add_script_tag(path=AXE)
            options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
            for violation in page.evaluate("options => axe.run(options)", options)["violations"]:
                targets = [node["target"] for node in violation["nodes"]]
                found.append(f"{each}: {violation['id']}: {targets[:3]}")
    assert (found, wrong) == ([], [])


def test_the_keyboard_reaches_everything(site: str, browser: Browser) -> None:
    with looking(browser) as (page, wrong):
        page.goto(site + "concepts/order/")
        count = page.evaluate(
            """() => {
                const all = [...document.querySelectorAll("a[href], button, input, [tabindex]")];
                const seen = all.filter((each) => each.checkVisibility({visibilityProperty: true}) && each.offsetWidth);
                const wanted = seen.filter((each) => each.tabIndex >= 0);
                wanted.forEach((each, number) => each.dataset.number = number);
                return wanted.length;
            }"""
        )
        reached = set()
        for _ in range(2 * count):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.dataset.number"))
        assert count > 30
        missed = [f'[data-number="{number}"]' for number in range(count) if str(number) not in reached]
        still_there = [each for each in missed if page.locator(each).get_attribute("tabindex") != "-1"]
        assert [page.locator(each).evaluate("each => each.outerHTML") for each in still_there] == []
        page.keyboard.press("Control+k")
        page.get_by_role("combobox", name="Search").fill("presence")
        found = page.locator("[role=option], li").filter(has_text="Who is in this room")
        found.first.wait_for()
    assert wrong == []


def test_the_first_page_is_small(site: str, browser: Browser) -> None:
    sizes: dict[str, int] = {}

    def weigh(response: Response) -> None:
        body = response.body()
        is_text = PurePosixPath(urlsplit(response.url).path).suffix not in {".png"}
        sizes[response.url] = len(gzip.compress(body)) if is_text else len(body)

    with looking(browser) as (page, _):
        page.on("response", weigh)
        page.goto(site, wait_until="networkidle")
    assert sum(sizes.values()) < FIRST_PAGE_BYTES, sizes


def test_dark_and_light_are_the_systems_choice_and_the_readers(site: str, browser: Browser) -> None:
    with looking(browser, scheme="dark") as (page, _):
        page.goto(site)
        assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"
        page.get_by_title("Switch to light mode").click()
        page.wait_for_function("document.body.dataset.mdColorScheme === 'default'")


def test_programs_get_the_same_pages_as_markdown(site: str) -> None:
    listed = re.findall(r"^- \[.+?\]\((.+?)\)", (SITE / "llms.txt").read_text(), re.MULTILINE)
    assert listed == [f"{SITE_URL}{page}" for page in LISTED]
    whole = (SITE / "llms-full.txt").read_text()
    for page in LISTED:
        text = (SITE / page).read_text()
        assert text.startswith("# "), page
        assert text.strip() in whole, page
        assert "\n::: " not in text, page
        for link in re.findall(r"\]\(([^)\s#]+)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)):
            target = urljoin(f"{SITE_URL}{page}", link)
            if target.startswith(SITE_URL):
                assert (SITE / target.removeprefix(SITE_URL)).exists(), f"{page}: {link}"


def test_what_the_library_says_of_the_site_leads_to_its_pages(site: str) -> None:
    named = set()
    for path in [*(ROOT / "src").rglob("*.py"), ROOT / "src/nitro/skill/SKILL.md"]:
        named |= set(re.findall(r"https://[\w-]+\.github\.io/[\w./#-]*\w[/]?", path.read_text(encoding="utf-8")))
    assert len(named) > 3
    for url in named:
        page, _, fragment = url.partition("#")
        assert page.startswith(SITE_URL), f"{url} isn't on the site that pyproject.toml names"
        found = SITE / page.removeprefix(SITE_URL)
        found = found / "index.html" if found.is_dir() else found
        assert found.exists(), url
        assert not fragment or fragment in Anchors(found.read_text(encoding="utf-8")).ids, url


def test_the_first_page_shows_what_the_readme_shows() -> None:
    index, readme = Document("docs/index.md"), Document("README.md")
    assert index.the("python").source == readme.all("python")[0].source
    assert index.the("js").source == readme.all("js")[0].source


# --- how it is made


def test_the_reference_has_every_public_name() -> None:
    text = "\n".join((ROOT / "docs/reference").joinpath(path).read_text() for path in sorted(LISTED_REFERENCE))
    shown = set(re.findall(r"^::: (nitro[\w.]*)", text, re.MULTILINE))
    public = {f"nitro.{name}" for name in nitro.__all__} - {"nitro.NitroError", "nitro.NitroWarning"}  # with the errors
    assert public - shown == set()
    assert {f"nitro.errors.{name}" for name in nitro.errors.__all__} - shown == set()
    assert {f"nitro.runs.{name}" for name in nitro.runs.__all__} - shown == set()


REFERENCE: Final = Reference(ROOT / "src")
LISTED_REFERENCE: Final = [Path(page).name for page in LISTED if page.startswith("reference/")]


def test_the_reference_says_what_a_docstring_says_with_each_parameter() -> None:
    text = REFERENCE.expanded("# Events\n\n::: nitro.emit\n")
    assert text.startswith(
        "# Events\n\n## `nitro.emit`\n\n```python\nnitro.emit(\n    event: Event[T, Any] | str,\n    /,\n"
    )
    assert "\n* `sender`: a string, an object with an `id`, or `ANY`." in text
    assert "\n* `InvalidTopic`, `TopicTypeError`: `event` is not a valid name." in text
    short = REFERENCE.expanded("::: nitro.Message -traceparent")
    assert "### `Message.json`" in short and "traceparent" not in short


@pytest.mark.parametrize("line", ["::: nitro.soup", "::: nitro.Message -soup"])
def test_a_name_that_is_not_there_fails_the_build(line: str) -> None:
    with pytest.raises(MissingName):
        REFERENCE.expanded(line)


def test_links_into_the_repository_lead_to_its_source_and_code_is_left_alone() -> None:
    def place(path: str) -> str:
        return {"docs/a/b.md": "a/b.md", "README.md": "index.md"}.get(path, f"https://x/{path}")

    text = "[b](b.md#c) [r](../../README.md) [s](../../src/) `[k](b.md)` [`n`](../../src/n.py) [u](https://u) [h](#h)\n"
    code = "```md\n[b](../../README.md)\n```\n"
    assert relinked(text + code, "docs/a/c.md", "a/c.md", place) == (
        "[b](b.md#c) [r](../index.md) [s](https://x/src) `[k](b.md)` [`n`](https://x/src/n.py) [u](https://u) [h](#h)\n"
        + code
    )


def test_a_navigation_that_misses_a_page_fails_the_build() -> None:
    reading.check([*LISTED, "decisions/0001-x.md"])
    with pytest.raises(reading.Astray, match=r"how-to/new\.md: left out"):
        reading.check([*LISTED, "how-to/new.md"])
    with pytest.raises(reading.Astray, match=r"index\.md: not there"):
        reading.check(LISTED[1:])


def test_a_page_is_described_by_its_first_sentence() -> None:
    assert description("# A\n\nSome `code` and [a link](b.md)\nhere. More.\n") == "Some code and a link here."
    assert description("# A\n\n`nitro serve` holds\nstreams. More.\n") == "nitro serve holds streams."
    assert description("# A\n\n## B\n\nText.\n") == ""
