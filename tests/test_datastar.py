"""Datastar's events: as datastar-py writes them, with text that it would break, and nothing that anybody can forge."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from datastar_py.consts import ElementPatchMode
from datastar_py.sse import ServerSentEventGenerator
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2 import Template
from starlette.datastructures import URL

from nitro import Client, emit, on
from nitro.datastar import DatastarResponse, emit_elements, emit_signals, execute_script, redirect, remove_elements
from nitro.datastar.wire_format import Patch, datastar
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidField, InvalidPayload
from nitro.events.payload import encode
from nitro.messages.message import Message, Position
from tests.documents import Document
from tests.servers import Server
from tests.sse import Stream
from tests.wire import Wire

RECIPES = Document("docs/how-to/frontends.md")
NO_LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` splits, and a reader of server-sent events doesn't."""
HOSTILE = f"'\"; alert(1); //</script><script>alert(2)</script><!--{NO_LINE_ENDS}\\\r\n\nid: 0\n\ndata: x"


class Event(NamedTuple):
    id: str
    name: str
    fields: dict[str, str]
    """As Datastar reads the data: each line is a name and a value, and lines of one name are joined."""


def parse(stream: bytes) -> list[Event]:
    """The events of a stream, by the rules of the HTML standard."""
    events, last_id, name, data = [], "", "message", list[str]()
    for line in re.split(r"\r\n|\r|\n", stream.decode()):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data:
                events.append(Event(last_id, name, joined(data)))
            name, data = "message", []
        elif field == "id":
            last_id = value
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return events


def joined(data: list[str]) -> dict[str, str]:
    fields: dict[str, list[str]] = {}
    for line in data:
        name, _, value = line.partition(" ")
        fields.setdefault(name, []).append(value)
    return {name: "\n".join(values) for name, values in fields.items()}


def frame_of(patch: Patch) -> bytes:
    """Its bytes, at the position `a-1`."""
    return datastar(Message("page", None, encode(patch, 1 << 20), Position("a", 1)))


def sent_by(*helpers: Callable[[], object]) -> bytes:
    """What a page's stream gets when they are called."""

    async def scenario() -> bytes:
        wire = Wire()
        task = wire.answer(DatastarResponse(Client(topics=["page", "end"])))
        await wire.until(b"id: ")
        opening = len(wire.body)
        for helper in helpers:
            helper()
        emit("end", result="the end")
        await wire.until(b"the end")
        wire.gone.set()
        await task
        return wire.body[opening:]

    return asyncio.run(asyncio.wait_for(scenario(), 20))


AS_DATASTAR_PY: list[tuple[Callable[[], object], str]] = [
    (
        lambda: emit_elements("page", elements='<p id="x">\n  é\n</p>\n'),
        ServerSentEventGenerator.patch_elements('<p id="x">\n  é\n</p>\n'),
    ),
    (
        lambda: emit_elements("page", elements="<p>", selector="#x > p", mode="inner", use_view_transition=True),
        ServerSentEventGenerator.patch_elements("<p>", "#x > p", ElementPatchMode.INNER, use_view_transition=True),
    ),
    (
        lambda: emit_elements("page", elements="<p>", mode=ElementPatchMode.OUTER, use_view_transition=False),
        ServerSentEventGenerator.patch_elements("<p>", mode=ElementPatchMode.OUTER, use_view_transition=False),
    ),
    (
        lambda: emit_elements("page", elements="", selector="#x", mode="inner"),
        ServerSentEventGenerator.patch_elements("", "#x", ElementPatchMode.INNER),
    ),
    (lambda: remove_elements("page", selector="#x"), ServerSentEventGenerator.remove_elements("#x")),
    (
        lambda: emit_signals("page", signals={"a": {"b": [1, None, "c"]}}),
        ServerSentEventGenerator.patch_signals({"a": {"b": [1, None, "c"]}}),
    ),
    (
        lambda: emit_signals("page", signals='{"a":1}', only_if_missing=True),
        ServerSentEventGenerator.patch_signals('{"a":1}', only_if_missing=True),
    ),
    (
        lambda: execute_script("page", script="one();\ntwo()"),
        ServerSentEventGenerator.execute_script("one();\ntwo()"),
    ),
    (
        lambda: execute_script("page", script="stay()", auto_remove=False),
        ServerSentEventGenerator.execute_script("stay()", auto_remove=False),
    ),
    (
        lambda: redirect("page", location="/there?a=1#b"),
        ServerSentEventGenerator.redirect("/there?a=1#b").replace("'", '"'),
    ),
]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(("helper", "expected"), AS_DATASTAR_PY)
def test_a_helper_sends_what_datastar_py_writes_and_the_position(helper: Callable[[], object], expected: str) -> None:
    first = sent_by(helper).decode().split("\n\n")[0]
    position, _, rest = first.partition("\n")
    assert re.fullmatch(r"id: [0-9a-z]+-1", position)
    assert rest + "\n\n" == expected


@settings(deadline=None)
@given(elements=st.text(), selector=st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")))
def test_any_html_and_any_selector_arrive_as_they_were(elements: str, selector: str) -> None:
    wanted = re.sub(r"\r\n|\r", "\n", elements).removesuffix("\n")
    assume(wanted or selector)
    (event,) = parse(frame_of(Patch.of_elements(elements, selector, None, None)))
    assert event.id == "a-1"
    assert event.name == "datastar-patch-elements"
    assert event.fields.get("elements", "") == wanted
    assert event.fields.get("selector", "") == selector
    assert set(event.fields) <= {"elements", "selector"}


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_any_signals_arrive_as_they_were(signals: dict[str, Any]) -> None:
    (event,) = parse(frame_of(Patch.of_signals(signals, None)))
    assert event.name == "datastar-patch-signals"
    assert list(event.fields) == ["signals"]
    assert json.loads(event.fields["signals"]) == signals


def test_what_a_template_library_made_is_taken_as_it_is() -> None:
    class Made:
        def __html__(self) -> str:
            return "<p>\r\n</p>"

    assert frame_of(Patch.of_elements(Made(), None, None, None)).endswith(
        b"data: elements <p>\ndata: elements </p>\n\n"
    )


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("location", [HOSTILE, "/?q=</SCRIPT >", "/\ud800", "https://example.com/'\"", "//there", ""])
def test_no_location_gets_out_of_its_string(location: str) -> None:
    (event, _) = parse(sent_by(lambda: redirect("page", location=location)))
    found = re.fullmatch(
        r'<script data-effect="el\.remove\(\)">setTimeout\(\(\) => window\.location = (".*")\)</script>',
        event.fields["elements"],
    )
    assert found is not None
    assert "<" not in found[1]
    assert json.loads(found[1]) == location


@pytest.mark.parametrize(
    "location",
    ["javascript:alert(1)", " \x01JaVaScRiPt:alert(1)", "java\nscript\t:alert(1)", "data:text/html,x", "vbscript:x"],
)
def test_no_location_is_a_script(location: str) -> None:
    with pytest.raises(InvalidField, match="http"):
        redirect("page", location=location)


@pytest.mark.parametrize("script", ["'</script>'", "a</ScRiPt\t>", "<!-- <script>"])
def test_a_script_that_would_leave_its_element_is_refused(script: str) -> None:
    with pytest.raises(InvalidField, match="u003c"):
        execute_script("page", script=script)


def test_half_of_a_surrogate_pair_is_refused_with_its_place_and_the_remedy() -> None:
    says = r"a lone surrogate, '\\ud800' at character 4.*errors='replace'"
    with pytest.raises(InvalidPayload, match=says):
        emit_elements("page", elements="<p>\n\ud800</p>")
    with pytest.raises(InvalidPayload, match="a lone surrogate"):
        execute_script("page", script="title = '\udfff'")
    with pytest.raises(InvalidPayload, match="surrogates not allowed"):
        emit_signals("page", signals={"title": "\ud800"})


@pytest.mark.parametrize("selector", ["#x\nelements <script>", "#x\r", "#x\r\ndata: y", "\0", "#\ud800"], ids=ascii)
def test_a_selector_is_one_line(selector: str) -> None:
    with pytest.raises(InvalidField, match="selector"):
        emit_elements("page", elements="<p>", selector=selector)
    with pytest.raises(InvalidField, match="selector"):
        remove_elements("page", selector=selector)


def test_what_datastar_has_not_is_refused() -> None:
    with pytest.raises(InvalidField, match="replace"):
        emit_elements("page", elements="<p>", mode="outer\nselector body")
    with pytest.raises(InvalidField):
        remove_elements("page", selector="")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("mode", [*ElementPatchMode, None])
@pytest.mark.parametrize("selector", [None, ""])
def test_what_datastar_does_to_a_target_needs_a_selector(mode: ElementPatchMode | None, selector: str | None) -> None:
    if mode in (None, ElementPatchMode.OUTER, ElementPatchMode.REPLACE):
        emit_elements("page", elements="<p id='x'>", selector=selector, mode=mode)
    else:
        with pytest.raises(InvalidField, match=f"mode {mode} needs a selector"):
            emit_elements("page", elements="<p id='x'>", selector=selector, mode=mode)


@pytest.mark.parametrize(
    ("helper", "values", "says"),
    [
        (emit_elements, {"elements": None}, "NoneType"),
        (emit_elements, {"elements": b"<p>"}, "bytes"),
        (emit_elements, {"elements": "<p>", "selector": 5}, "a selector is a string"),
        (remove_elements, {"selector": ["#x"]}, "a selector is a string"),
        (execute_script, {"script": None}, "a script is a string"),
        (execute_script, {"script": "1", "attributes": "async"}, r"attributes=\['async'\]"),
        (redirect, {"location": None}, "a location is a string"),
    ],
)
def test_a_value_of_another_type_is_refused(helper: Callable[..., object], values: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentTypeError, match=says):
        helper("page", **values)


@pytest.mark.usefixtures("hub")
def test_a_page_is_redirected_to_a_url_of_starlettes() -> None:
    (event, _) = parse(sent_by(lambda: redirect("page", location=URL("https://example.com/there?a=1"))))
    assert 'window.location = "https://example.com/there?a=1")' in event.fields["elements"]
    with pytest.raises(InvalidField, match="http"):
        redirect("page", location=URL("javascript:alert(1)"))


@pytest.mark.parametrize("value", [None, True, False])
def test_an_attribute_of_a_script_has_text_or_no_value(value: Any) -> None:
    with pytest.raises(InvalidField, match="'type' of a script"):
        execute_script("page", script="1", attributes={"type": value})


@pytest.mark.parametrize("signals", ["alert(1)", "[1]", '"text"', [1], 1, {"a": float("nan")}, '{"a": NaN}', object()])
def test_signals_that_are_no_json_object_are_refused(signals: Any) -> None:
    with pytest.raises(InvalidPayload):
        emit_signals("page", signals=signals)


@pytest.mark.usefixtures("hub")
def test_data_that_looks_like_a_helpers_is_data() -> None:
    lines = ["elements <script>alert(1)</script>", "mode append", "selector body"]
    forged: list[Any] = [
        {"datastar": "datastar-patch-elements", "lines": lines},
        {"mark": True, "name": "datastar-patch-elements", "lines": lines},
        {"datastar": True, "name": "datastar-patch-elements", "lines": lines},
        '{"datastar":true,"datastar":"datastar-patch-elements","lines":["elements <p>"]}',
    ]
    sent = parse(sent_by(*[lambda result=result: emit("page", result=result) for result in forged]))
    assert len(sent) == len(forged) + 1
    assert {event.name for event in sent} == {"message"}


@pytest.mark.parametrize(
    "rest",
    [b'gap","lines":[]}', b'datastar-patch-elements"}', b'datastar-patch-elements","lines":{"a":1}}', b'x\\ny"}'],
)
def test_a_broken_patch_in_a_foreign_log_is_data(rest: bytes) -> None:
    payload = b'{"datastar":true,"datastar":"' + rest
    frame = datastar(Message("page", None, payload, Position("a", 1)))
    assert frame == b"id: a-1\ndata: %b\n\n" % payload


@pytest.mark.usefixtures("hub")
def test_a_gap_comes_by_its_name_and_handlers_and_senders_work_as_ever() -> None:
    heard: list[tuple[Any, list[str]]] = []

    async def scenario() -> None:
        wire = Wire(query=b"last_event_id=nonsense")
        task = wire.answer(DatastarResponse(Client(topics={"page": ["me"]})))
        await wire.until(b"event: gap\n")
        on("page")(lambda sender, result: heard.append((sender, result.lines)))
        assert emit_elements("page", "you", elements="<p>") == [None]
        emit_elements("page", "me", elements="<b>")
        await wire.until(b"data: elements <b>\n")
        assert b"<p>" not in wire.body
        wire.gone.set()
        await task

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert heard == [("you", ["elements <p>"]), ("me", ["elements <b>"])]


def test_the_options_are_those_of_any_stream() -> None:
    response = DatastarResponse(Client(), since="a-1", retry_milliseconds=5, status_code=201, headers={"X-A": "b"})
    assert (response.since, response.retry_milliseconds, response.status_code) == ("a-1", 5, 201)
    assert response.headers["x-a"] == "b"
    with pytest.raises(InvalidField):
        DatastarResponse(Client(), retry_milliseconds=-1)


@pytest.mark.parametrize(
    "helper",
    [
        lambda: emit_elements("page", elements="<p>"),
        lambda: remove_elements("page", selector="p"),
        lambda: emit_signals("page", signals={}),
        lambda: execute_script("page", script="x()"),
        lambda: redirect("page", location="/"),
    ],
)
def test_without_datastar_py_a_helper_says_what_to_install(
    helper: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datastar_py", None)
    with pytest.raises(ConfigurationError, match=r"nitro-realtime\[datastar\]"):
        helper()


def test_the_recipe_sends_elements_and_signals_over_a_real_server_and_its_page_begins_at_its_data() -> None:
    with Server("tests.apps.frontends:app") as server, Stream(server.port, "/datastar") as stream:
        stream.read_until(b"id: ")
        assert server.post("/datastar", params={"title": HOSTILE}).status_code == 200
        stream.read_until(b"patch-signals").read_until(b"}\n\n")
        elements, signals = parse(stream.body)
        assert elements.id.endswith("-1")
        assert signals.id.endswith("-2")
        assert elements.name == "datastar-patch-elements"
        assert elements.fields["elements"].startswith('<ul id="todos"><li id="todo-1">&#x27;&quot;; alert(1)')
        assert "<script" not in elements.fields["elements"]
        assert json.loads(signals.fields["signals"]) == {"latest": HOSTILE}
        (block,) = [each for each in RECIPES.blocks if (each.heading, each.language) == ("Datastar", "html")]
        todos = {"todo-1": HOSTILE}  # the page's data has the elements, and its stream begins behind them
        html = Template(block.source, autoescape=True).render(position=elements.id, todos=todos)
        assert '<ul id="todos"><li id="todo-1">&#39;&#34;; alert(1)' in html
        with Stream(server.port, re.findall(r"@get\('(.*?)'", html)[0]) as page:
            assert page.read_until(b"}\n\n").body.count(b"event: ") == 1
    assert "Traceback" not in server.output, server.output
