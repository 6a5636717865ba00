"""`docs/migrating` as it stands there: what was before, what is after, and both at once, each behind a real server.

Before and after have the same routes, so that they are asked the same. What needs a package that the tests don't
install was tried by hand, and is marked so; nitro-boost, which is imported as `nitro`, too, is run here by Nitro.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import litestar.response
import msgspec
import pytest
import sse_starlette
from django.core.serializers.json import DjangoJSONEncoder  # type: ignore[import-untyped]  # Django has no types
from django.utils.functional import lazystr  # type: ignore[import-untyped]  # the same
from fastapi import FastAPI
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from playwright.sync_api import Page

from nitro import Client, Message, emit
from nitro.errors import InvalidPayload
from tests.documents import ROOT, Document
from tests.servers import Server, free_port, wait_for
from tests.specification.blocks import Block
from tests.sse import Stream

fastapi_sse: Any = pytest.importorskip("fastapi.sse", reason="OLD FASTAPI: it has no streams to migrate from")

RUNS_BLOCKS = {
    "docs/migrating/from-broadcaster.md": ["python", "js"],
    "docs/migrating/from-django-eventstream.md": ["python", "js"],
    "docs/migrating/from-fastapi-sse.md": ["python", "js"],
    "docs/migrating/from-hosted-services.md": ["python", "js"],
    "docs/migrating/from-litestar-channels.md": ["python", "js"],
    "docs/migrating/from-nitro-boost.md": ["python", "js", "toml"],
    "docs/migrating/from-sse-starlette.md": ["python", "js"],
}
GUIDES = {re.split(r"from-|\.", name)[1]: Document(name) for name in RUNS_BLOCKS}
SMALL, ROOMS, PAGE, BOTH = (
    "The smallest application",
    "Rooms, and a user's own events",
    "The page",
    "Both side by side",
)
INSTALLED = ["fastapi-sse", "litestar-channels", "sse-starlette"]
"""Those whose `Before` the tests run."""
BOOST = "nitro-boost"
SIDES = [(guide, "Before") for guide in [*INSTALLED, BOOST]] + [(guide, "After") for guide in GUIDES]
UNNAMED = [BOOST, "hosted-services"]
"""Those whose rooms tell no names of events to an `EventSource`."""


def block_of(guide: str, *path: str) -> Block:
    """The Python below these headings; nitro-boost's with its import from `nitro`, as its page says that it runs."""
    (block,) = [each for each in GUIDES[guide].blocks if each.language == "python" and each.path[1:] == path]
    if guide == BOOST and path[-1] == "Before":
        assert block.fragment.startswith("needs nitro-boost 0.3.0")
        return Block(*path_of(block), block.source.replace("from nitro.events import", "from nitro import"))
    assert not block.fragment
    return block


def different(part: str) -> list[tuple[str, str]]:
    """The sides of that part whose applications differ from those before them: the same one is run once."""
    found = {block_of(guide, part, side).source: (guide, side) for guide, side in reversed(SIDES)}
    return sorted(found.values(), key=SIDES.index)


def path_of(block: Block) -> tuple[tuple[str, ...], str, int, int]:
    return block.path, block.language, block.number, block.line


def serving(guide: str, *path: str, directory: Path, port: int | None = None, **environment: str) -> Server:
    (directory / "application.py").write_text(block_of(guide, *path).source)
    return Server("application:app", directory=directory, port=port, environment=environment)


def events_in(body: bytes) -> list[tuple[str, Any]]:
    """The names and data of the events in it."""
    found = []
    for part in re.split(r"\n\n", body.decode().replace("\r\n", "\n"))[:-1]:
        fields: dict[str, str] = {}
        for line in part.split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        if "data" in fields:
            found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


def read_what_has_come(stream: Stream) -> bytes:
    stream.socket.settimeout(0.02)
    try:
        while True:
            stream.read_more()
    except TimeoutError:
        return stream.body
    finally:
        stream.socket.settimeout(10)


def until_all_hear(streams: Sequence[Stream], say: Callable[[], object]) -> None:
    """Say it again until it has come to all of them: a stream may begin to hear after its head."""

    def is_heard() -> bool:
        say()
        return all(events_in(read_what_has_come(stream)) for stream in streams)

    wait_for(is_heard)


class Struct(msgspec.Struct):
    title: str


class OfYours:
    def __init__(self, title: str) -> None:
        self.title = title


NAMES = {
    **{"datetime": datetime, "UTC": UTC, "Decimal": Decimal, "timedelta": timedelta, "float": float},
    **{"msgspec": msgspec, "gettext_lazy": lazystr},
}
TODOS = {"litestar-channels": Struct, "fastapi-sse": OfYours}
"""What `Todo` is in the table of values of that page."""


def values_in(guide: str) -> list[tuple[Any, str, str]]:
    """The rows of its table of values: the value, and what both make of it, as the page says."""
    table = GUIDES[guide].text.split("| value |")[1]
    rows = re.findall(r"^\| `(.+?)`(?:, .+?)? \| (.+) \| (.+) \|$", table, re.MULTILINE)
    return [(eval(value, {**NAMES, "Todo": TODOS.get(guide)}), theirs, ours) for value, theirs, ours in rows]


async def by_fastapi(value: Any) -> str:
    app = FastAPI()

    @app.get("/", response_class=fastapi_sse.EventSourceResponse)
    async def events() -> Any:
        yield fastapi_sse.ServerSentEvent(data=value)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return (await client.get("/")).text.removeprefix("data: ").removesuffix("\n\n")


async def by_litestar(value: Any) -> str:
    return ChannelsPlugin(MemoryChannelsBackend(), channels=["a"]).encode_data(value).decode()


async def by_django(value: Any) -> str:
    """As `send_event` does."""
    return json.dumps(value, cls=DjangoJSONEncoder)


THEIRS = {"fastapi-sse": by_fastapi, "litestar-channels": by_litestar, "django-eventstream": by_django}


async def by_nitro(value: Any) -> str:
    with Client(topics=["a"]) as client:
        emit("a", result=value)
        message = await anext(client.messages())
    assert isinstance(message, Message)
    return message.json


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("guide", THEIRS)
def test_values_are_written_as_their_tables_say(guide: str) -> None:
    async def scenario() -> None:
        for value, theirs, ours in values_in(guide):
            for write, said in ((THEIRS[guide], theirs), (by_nitro, ours)):
                if said.startswith("raises"):
                    with pytest.raises((InvalidPayload, TypeError)) as raised:
                        await write(value)
                    assert said == f"raises `{raised.type.__name__}`"
                else:
                    (written,) = re.findall("^`(.+?)`", said)
                    assert await write(value) == written, f"{value!r} by {write.__name__}"

    assert len(values_in(guide)) >= 6
    asyncio.run(scenario())


@pytest.mark.parametrize(("guide", "side"), different(SMALL))
def test_the_smallest_application_brings_an_event_to_its_page(guide: str, side: str, tmp_path: Path) -> None:
    with serving(guide, SMALL, side, directory=tmp_path) as server, Stream(server.port, "/events") as stream:
        until_all_hear([stream], lambda: server.post("/todos?title=Milk").raise_for_status())
        name = "message" if guide == BOOST else "todo.created"
        assert events_in(stream.body)[0] == (name, {"title": "Milk"})
        server.process.send_signal(signal.SIGTERM)
        if side == "After":
            stream.read_to_end()
            assert re.search(rb"\nretry: \d+\n$", stream.body)
        elif guide == BOOST:
            stream.read_to_end()
        elif guide == "sse-starlette":
            with pytest.raises(ConnectionError):
                stream.read_to_end()
            wait_for(lambda: "ASGI callable returned without completing response" in server.output)
        else:
            wait_for(lambda: "Waiting for connections to close" in server.output)
            assert server.process.poll() is None
    assert "Traceback" not in server.output, server.output


class Rooms:
    """The application with rooms."""

    def __init__(self, guide: str, side: str, server: Server) -> None:
        self.guide = guide
        self.side = side
        self.server = server

    def stream(self, user: str) -> Stream:
        return Stream(self.server.port, "/rooms/lobby/events", f"Cookie: user={user}\r\n")

    def say(self, text: str) -> None:
        self.server.post("/rooms/lobby/messages", params={"text": text}).raise_for_status()

    def mail(self, user: str, text: str) -> None:
        self.server.post(f"/users/{user}/mail", params={"text": text}).raise_for_status()

    def open_in(self, page: Page, *scripts: Block, of: str = "ann") -> None:
        """Run the scripts in a page of that user; what they show is in `shown`."""
        page.context.add_cookies([{"name": "user", "value": of, "url": self.server.url}])
        page.goto(f"{self.server.url}/no-such-page")
        page.evaluate("() => { window.shown = []; window.show = (what, text) => shown.push([what, text]); }")
        page.add_script_tag(content="\n".join(each.source for each in scripts), type="module")

    def until_shown(self, page: Page, what: str, text: str, act: Callable[[], object]) -> None:
        def is_shown() -> bool:
            act()
            return [what, text] in page.evaluate("shown")

        wait_for(is_shown)


@pytest.fixture(scope="module", params=different(ROOMS), ids="-".join)
def rooms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    guide, side = request.param
    with serving(guide, ROOMS, side, directory=tmp_path_factory.mktemp("rooms")) as server:
        yield Rooms(guide, side, server)
    assert "Traceback" not in server.output, server.output


def test_a_room_is_heard_by_all_in_it_and_mail_by_its_user_alone(rooms: Rooms) -> None:
    with rooms.stream("ann") as ann, rooms.stream("bob") as bob:
        until_all_hear([ann, bob], lambda: rooms.say("hello"))
        rooms.mail("ann", "psst")
        rooms.say("the end")
        for stream in (ann, bob):
            stream.read_until(b"the end")
    *_, mail, end = events_in(ann.body)
    names = ("message", "message") if rooms.guide in UNNAMED else ("mail.received", "chat.message")
    assert (mail[0], end[0]) == names
    assert (mail[1]["text"], end[1]["text"]) == ("psst", "the end")
    assert "psst" not in bob.body.decode()


def scripts_of(guide: str) -> list[Block]:
    return [block for block in GUIDES[guide].all("js", PAGE) if not block.fragment]


@pytest.mark.browser
def test_a_page_shows_what_it_hears(rooms: Rooms, page: Page) -> None:
    rooms.open_in(page, *scripts_of(rooms.guide))
    rooms.until_shown(page, "room", "hello", lambda: rooms.say("hello"))
    rooms.until_shown(page, "mail", "psst", lambda: rooms.mail("ann", "psst"))
    if rooms.guide == "hosted-services":  # whoever was there a moment ago may still be
        wait_for(lambda: any(what == "here" and "Ann" in text.split(", ") for what, text in page.evaluate("shown")))


@pytest.mark.browser
def test_a_page_shows_the_count_of_a_crowd_in_place_of_its_names(page: Page, tmp_path: Path) -> None:
    guide = "hosted-services"
    with serving(guide, ROOMS, "After", directory=tmp_path, NITRO_PRESENCE_MAX_MEMBERS="1") as server:
        rooms = Rooms(guide, "After", server)
        rooms.open_in(page, *scripts_of(guide))
        wait_for(lambda: ["here", "Ann"] in page.evaluate("shown"))
        with rooms.stream("bob"):
            wait_for(lambda: page.evaluate("shown").pop() == ["here", "2 people"])
        page.goto("about:blank")


@pytest.mark.parametrize("rooms", [("hosted-services", "After")], indirect=True, ids="-".join)
@pytest.mark.parametrize("room", ["lobby", "v1.2", "caf\u00e9"])
def test_a_page_can_ask_who_is_in_a_room_of_any_name(rooms: Rooms, room: str) -> None:
    path = f"/rooms/{quote(room)}"
    asked = urlencode([("topic", "chat.message"), ("topic", f"presence.{rooms.server.get(path).json()['place']}")])
    with Stream(rooms.server.port, f"{path}/events?{asked}", "Cookie: user=eve\r\n") as stream:
        stream.read_until(b'"user_id":"eve"')
        rooms.server.post(f"{path}/messages", params={"text": "hello"}).raise_for_status()
        stream.read_until(b"hello")


@pytest.mark.browser
@pytest.mark.parametrize("rooms", [("broadcaster", "After")], indirect=True, ids="-".join)
def test_what_a_page_sent_by_its_websocket_it_sends_by_fetch(rooms: Rooms, page: Page) -> None:
    (script,) = scripts_of("broadcaster")
    said = Block(*path_of(script), script.source + "window.say = say;\n")
    rooms.open_in(page, said)
    rooms.until_shown(page, "room", "from the page", lambda: page.evaluate("say('from the page').then(() => null)"))


@pytest.mark.parametrize("guide", INSTALLED)
def test_both_side_by_side_are_heard(guide: str, tmp_path: Path) -> None:
    with (
        serving(guide, BOTH, directory=tmp_path) as server,
        Stream(server.port, "/events") as old,
        Stream(server.port, "/live") as new,
    ):
        until_all_hear([old, new], lambda: server.post("/todos?title=Milk").raise_for_status())
        for stream in (old, new):
            assert events_in(stream.body)[0] == ("todo.created", {"title": "Milk"})
        if guide == "sse-starlette":
            server.end(within_seconds=3)
            new.read_to_end()
    assert "Traceback" not in server.output, server.output


@pytest.mark.browser
def test_an_open_tab_goes_on_when_the_endpoint_is_replaced_under_its_url(page: Page, tmp_path: Path) -> None:
    port = free_port()
    guide = "sse-starlette"
    with serving(guide, ROOMS, "Before", directory=tmp_path, port=port) as server:
        old = Rooms(guide, "Before", server)
        old.open_in(page, *scripts_of(guide))
        old.until_shown(page, "room", "of the old", lambda: old.say("of the old"))
    with serving(guide, ROOMS, "After", directory=tmp_path, port=port) as server:
        new = Rooms(guide, "After", server)
        new.until_shown(page, "room", "of the new", lambda: new.say("of the new"))
        assert ["room", "of the old"] in page.evaluate("shown")
        headers = "Cookie: user=ann\r\nLast-Event-ID: 41\r\n"
        with Stream(port, "/rooms/lobby/events", headers) as stream:
            stream.read_until(b"event: gap")
            new.say("behind it")
            stream.read_until(b"behind it")
        (gap, data), (name, _) = events_in(stream.body)
        assert (gap, data["reason"], name) == ("gap", "invalid", "chat.message")
        page.goto("about:blank")


def test_a_hub_tells_what_an_application_publishes_that_stays_with_nitro_boost(tmp_path: Path) -> None:
    toml = GUIDES[BOOST].the("toml").source
    (tmp_path / "hub.toml").write_text(toml)
    (key,) = re.findall(r'secret = "(.*)"', toml)
    options = ("--config", str(tmp_path / "hub.toml"))
    with Server("", runner="nitro serve", options=options) as server, Stream(server.port, "/events") as stream:
        stream.read_until(b"id: ")
        server.post(
            "/publish",
            headers={"Authorization": f"Bearer {key}"},
            json={"topic": "todo.created", "sender": "me", "result": {"title": "Milk"}},
        ).raise_for_status()
        stream.read_until(b"Milk")
    assert events_in(stream.body) == [("message", {"title": "Milk"})]


def options_of(*made: Any) -> set[str]:
    return {name for each in made for name in inspect.signature(each).parameters} - {"self", "content", "data"}


@pytest.mark.parametrize(
    ("guide", "options"),
    [
        ("sse-starlette", options_of(sse_starlette.EventSourceResponse, sse_starlette.ServerSentEvent)),
        ("fastapi-sse", set(fastapi_sse.ServerSentEvent.model_fields)),
        ("litestar-channels", options_of(ChannelsPlugin, litestar.response.ServerSentEvent) - {"backend"}),
    ],
)
def test_a_page_says_what_becomes_of_each_option(guide: str, options: set[str]) -> None:
    text = GUIDES[guide].text.split(f"## {SMALL}")[0]
    assert {name for name in options if not re.search(rf"[`( ]{name}=", text)} == set()


def test_pages_name_the_versions_that_were_looked_at() -> None:
    for document in GUIDES.values():
        assert re.search(r"looked at.*?\d+\.\d+\.\d+", document.text, re.DOTALL), document.name


def test_all_blocks_of_a_page_are_known() -> None:
    for guide, document in GUIDES.items():
        paths = [each.path[1:] for each in document.blocks if each.language == "python"]
        assert paths == [(SMALL, "Before"), (SMALL, "After"), (ROOMS, "Before"), (ROOMS, "After"), (BOTH,)], guide
        assert scripts_of(guide), guide
        for each in document.blocks:
            assert each.language in ("python", "js", "toml"), each
            if each.language == "python":
                ast.parse(each.source)


COMPARISON = Document("docs/about/comparison.md").text
SERVERS = {
    "the kernel alone": "floor",
    "nchan": "nchan",
    "Nitro on granian": "nitro-granian",
    "Nitro on uvicorn": "nitro",
    "`StreamingResponse` over an `asyncio.Queue`": "queue",
    "Litestar channels": "litestar",
    "sse-starlette": "sse-starlette",
    "FastAPI's own SSE": "fastapi",
}
"""What the run calls the rows of the comparison."""


def test_figures_of_the_comparison_are_those_of_the_run_that_it_names() -> None:
    text = COMPARISON.split("## In figures")[1]
    (path,) = re.findall(r"\]\((\S+\.json)\)", text)
    measured = json.loads((ROOT / "docs/about" / path).read_text())
    rows = re.findall(r"^\| (\S.*?) \| ([\d.]+) \| (\d+) % \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(SERVERS)

    def median_of(server: str, case: str, value: str) -> Any:
        runs = [each for each in measured["runs"] if (each["server"], each["case"]) == (server, case)]
        return median(each["values"][value] for each in runs)

    for name, cpu_us, percent in rows:
        assert f"{median_of(SERVERS[name], 'lockstep', 'cpu_us'):.1f}" == cpu_us
        assert f"{median_of(SERVERS[name], '1,000 events/s', 'in_time'):.0%}" == f"{percent}%"
    for library in ("sse-starlette", "fastapi", "litestar"):
        assert re.search(rf"{library}(?: channels)? {measured['versions'][library]} ", COMPARISON, re.IGNORECASE)
    assert f"nchan {measured['versions']['nchan'].removeprefix('1:').partition('+')[0]} and " in text
    assert f"granian {measured['versions']['granian']}." in text
