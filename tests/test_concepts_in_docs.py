"""The pages of `docs/concepts`: their blocks run, what they say of a broker holds, their pictures can be read."""

from __future__ import annotations

import ast
import asyncio
import codeop
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import pytest

from nitro import Client, EventSourceResponse, emit, emit_async
from nitro.delivery.hub import Hub
from nitro.delivery.process import get_hub
from nitro.messages.topics import check_pattern, check_topic, matches
from tests.documents import ROOT, Document

RUNS_BLOCKS = {
    "docs/concepts/endings.md": ["text"],
    "docs/concepts/order.md": ["python"],
    "docs/concepts/positions-and-gaps.md": ["python"],
    "docs/concepts/processes.md": ["python"],
    "docs/concepts/slow-readers.md": ["python"],
    "docs/concepts/topics.md": ["python"],
}

IN_MEMORY: Final = ("order", "positions-and-gaps", "slow-readers", "topics")
PAGES: Final = ("processes", *IN_MEMORY)
PICTURES: Final = [
    *sorted((ROOT / "docs/images/concepts").glob("*.svg")),
    *sorted((ROOT / "docs/images").glob("*.svg")),
]
SVG: Final = "{http://www.w3.org/2000/svg}"


def page(name: str) -> Document:
    return Document(f"docs/concepts/{name}.md")


async def run(name: str) -> None:
    """A page's blocks, one after the other, with the names of those before."""
    document = page(name)
    assert {block.language for block in document.blocks} == {"python"}
    names: dict[str, Any] = {"__name__": name}
    for block in document.all("python"):
        await document.run_async(block, names)


@pytest.mark.usefixtures("hub", "no_handlers")
@pytest.mark.parametrize("name", IN_MEMORY)
def test_the_blocks_of_a_page_run_one_after_the_other(name: str) -> None:
    asyncio.run(run(name))


@pytest.mark.usefixtures("no_handlers")
def test_those_about_processes_run_with_a_log_that_two_share(hub_with: Callable[..., Hub], tmp_path: Path) -> None:
    hub_with(broker_url=f"sqlite:///{tmp_path / 'events.db'}")
    asyncio.run(run("processes"))


@pytest.mark.parametrize("name", PAGES)
def test_the_blocks_of_a_page_can_be_pasted_into_a_prompt(name: str) -> None:
    """Line by line, as `python -m asyncio` reads them: there a blank line, and nothing else, ends what is indented."""
    assert "python -m asyncio`" in page(name).text
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for block in page(name).all("python"):
        pending: list[str] = []
        for number, line in enumerate([*block.source.splitlines(), ""], block.line):
            pending.append(line)
            if compiler("\n".join(pending), f"docs/concepts/{name}.md, to line {number}", "single") is not None:
                pending.clear()
        assert pending == []


# -- what is said beside the blocks ----------------------------------------------------------------------------


def rows(text: str, heading: str) -> Iterator[list[str]]:
    """The cells of the first table under a heading."""
    section = text.partition(f"\n## {heading}\n")[2]
    table = re.search(r"(?m)^\|.*\n\|[ |-]*\n((?:\|.*\n)+)", section)
    assert table is not None
    for line in table[1].splitlines():
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_patterns_match_what_the_table_says() -> None:
    table = [[re.findall("`(.*?)`", cell) for cell in row] for row in rows(page("topics").text, "Patterns")]
    assert len(table) == 5
    for (pattern,), matching, others in table:
        for topic in [*matching, *others]:
            assert matches(check_pattern(pattern), check_topic(topic)) is (topic in matching), (pattern, topic)


def test_with_a_broker_a_client_may_hear_an_event_from_just_before_its_subscription(
    hub_with: Callable[..., Hub], tmp_path: Path
) -> None:
    hub = hub_with(broker_url=f"sqlite:///{tmp_path / 'events.db'}")

    async def scenario() -> None:
        await emit_async("begin", result="the log is open")
        with Client(topics=["a"]) as client:
            results = client.stream()
            with hub.broker.lock:  # so that nothing comes back from the log meanwhile
                emit("a", result="emitted first")
                emit("b", result="emitted before the subscription")
                client.subscribe("b")
                client.send("sent last")
            heard = [await anext(results) for _ in range(3)]
        assert heard == ["sent last", "emitted first", "emitted before the subscription"]

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_who_is_cut_behind_a_gap_does_not_get_it_twice() -> None:
    async def scenario() -> None:
        with Client(topics=["a"], last_event_id="of-no-log") as client:
            gap = await anext(client.messages())
        emit("a", result="meanwhile")
        with Client(topics=["a"], last_event_id=gap.id) as client:
            assert await anext(client.stream()) == "meanwhile"

    asyncio.run(scenario())


def test_a_resumed_stream_and_one_with_a_gap_are_the_bytes_that_are_shown(hub_with: Callable[..., Hub]) -> None:
    hub_with(history_messages=2)
    resumed, lost = page("endings").all("text")

    async def scenario() -> None:
        emit("todo.created", result={"title": "tea"})
        before = get_hub().broker.head
        emit("todo.created", result={"title": "milk"})
        assert await beginning(str(before), frames=2) == shown(resumed.source, before.epoch, {41: 1, 42: 2})
        for _ in range(95):
            emit("other", result=0)
        assert await beginning(str(before), frames=1) == shown(lost.source, before.epoch, {97: 97})

    asyncio.run(scenario())


def shown(source: str, epoch: str, sequences: dict[int, int]) -> str:
    """A block with the ids that a stream has here."""
    return re.sub(r"5f0c9a1b2c-(\d+)", lambda id: f"{epoch}-{sequences[int(id[1])]}", source)


async def beginning(last_event_id: str, frames: int) -> str:
    """The first frames of a stream that comes back with that id."""
    writes: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, str]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await writes.put(message.get("body", b""))

    headers = [(b"last-event-id", last_event_id.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    stream = asyncio.create_task(EventSourceResponse(Client(topics=["todo.*"]))(scope, receive, send))
    body = b""
    while body.count(b"\n\n") < frames:
        body += await writes.get()
    gone.set()
    await stream
    return body.decode()


# -- pictures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_a_sentence_and_a_picture(name: str) -> None:
    title, _, sentence, _, picture = page(name).text.splitlines()[:5]
    assert title.startswith("# ")
    assert sentence.endswith(".")
    shown = re.fullmatch(r"!\[(.{20,})\]\((.*\.svg)\)", picture)
    assert shown is not None
    assert (ROOT / "docs/concepts" / shown[2]).resolve() in PICTURES


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_told_to_who_does_not_see_it_and_is_read_on_a_telephone(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "title desc"
    for name in ("title", "desc"):
        found = root.find(f"{SVG}{name}")
        assert found is not None
        assert found.get("id") == name
        assert found.text
    left, top, width, height = map(float, (root.get("viewBox") or "").split())
    assert (left, top, width) == (0, 0, 540)
    sizes = [float(size) for size in re.findall(r"([\d.]+)px", path.read_text())]
    assert min(sizes) * 360 / width >= 13
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.get("x", 0)) < width
        assert 0 < float(text.get("y", 0)) < height


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_the_words_of_a_picture_stand_out(path: Path, is_dark: bool) -> None:
    light, _, dark = path.read_text().partition("@media (prefers-color-scheme:dark){")
    fills = fills_of(light) | (fills_of(dark) if is_dark else {})
    grounds = [fills[f".{name}"] for name in ("panel", "group", "box") if f".{name}" in fills]
    pairs = [(fills[words], ground) for words in ("text", ".quiet") for ground in grounds]
    pairs += [
        (fills[f".on-{name}"], fills[f".{name}"]) for name in ("green", "blue", "amber") if f".on-{name}" in fills
    ]
    assert len(pairs) >= 2
    assert all(contrast(*pair) >= 4.5 for pair in pairs), pairs


def fills_of(css: str) -> dict[str, str]:
    """The colour of each selector."""
    found = re.findall(r"([.\w-]+)\{[^}]*?fill:(#[0-9a-f]{3,6})", css)
    return {
        selector: colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
        for selector, colour in found
    }


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG 2 defines it."""
    brighter, darker = sorted(map(luminance, (one, other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
