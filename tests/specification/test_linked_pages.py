"""What the pages that the specification links to describe, one test for each row of their tables."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
from collections.abc import Callable, Iterator
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypedDict

import httpx
import pytest
from datastar_py.attributes import attribute_generator
from datastar_py.consts import ElementPatchMode
from datastar_py.sse import ServerSentEventGenerator as Sse
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import JSON, Column, true
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, col

from nitro.domain.entities.base_entity import Entity
from nitro.errors import ConfigurationError, InvalidField, InvalidQuery, NitroWarning
from nitro.infrastructure.events import (
    ANY,
    Client,
    Event,
    Namespace,
    default_namespace,
    emit,
    emit_async,
    event,
    filter_signals,
    on,
    starlette,
)
from nitro.settings import get_settings
from tests.cases import shown
from tests.servers import Server
from tests.specification.hearing import heard_by, run
from tests.sse import Stream

pytestmark = pytest.mark.usefixtures("hub", "no_handlers")


def parameters_of(function: Any) -> list[tuple[str, Any]]:
    """Names and defaults of what may be given by place; behind them what takes the rest."""
    return [
        (each.name, each.default)
        for each in inspect.signature(function).parameters.values()
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.POSITIONAL_ONLY) and each.name != "self"
    ]


# -- nitro.infrastructure.events -----------------------------------------------------------------------------


def test_event_gives_the_same_object_for_the_same_name() -> None:
    made = event("linked.made", "What it is.")
    assert made is event("linked.made")
    assert isinstance(made, Event)
    assert made.__doc__ == "What it is."


def test_on_returns_the_function_unchanged_and_takes_its_options_by_place() -> None:
    def handler(sender: Any, **kwargs: Any) -> str:
        return "handled"

    assert [name for name, _ in parameters_of(on)] == ["event", "sender", "weak", "priority", "condition"]
    assert on("linked.a", "me", False, 5, lambda sender, **kwargs: kwargs["n"] > 1)(handler) is handler
    assert emit("linked.a", "me", n=2) == ["handled"]
    assert emit("linked.a", "me", n=1) == []
    assert emit("linked.a", "you", n=2) == []


def test_on_holds_its_function_unless_weak_is_true() -> None:
    on("linked.a")(lambda sender, **kwargs: "held")
    on("linked.a", weak=True)(lambda sender, **kwargs: "lost")
    gc.collect()
    assert emit("linked.a") == ["held"]


def test_what_emit_is_given_by_place_reaches_the_handlers_behind_the_sender() -> None:
    got: list[Any] = []

    def handler(sender: Any, *args: Any, **kwargs: Any) -> None:
        got.append((sender, args, kwargs))

    on("linked.a", condition=lambda sender, *args, **kwargs: args == (1, 2))(handler)
    emit("linked.a", "me", 1, 2, extra=3)
    emit("linked.a", "me", 1)
    event("linked.a").emit("me", 1, 2)
    asyncio.run(emit_async("linked.a", "me", 1, 2))
    asyncio.run(event("linked.a").emit_async("me", 1, 2, result=4))
    assert got == [("me", (1, 2), {"extra": 3}), *[("me", (1, 2), {})] * 2, ("me", (1, 2), {"result": 4})]


def test_emit_starts_asynchronous_handlers() -> None:
    async def scenario() -> None:
        done = asyncio.Event()

        @on("linked.a")
        async def handler(sender: Any, **kwargs: Any) -> None:
            done.set()

        assert emit("linked.a") == []
        await asyncio.wait_for(done.wait(), 5)

    run(scenario)


@pytest.mark.parametrize("way", [emit_async, lambda signal: signal.emit_async()])
def test_emit_async_awaits_all_side_by_side_and_gives_the_results_of_all(way: Any) -> None:
    async def scenario() -> None:
        met = asyncio.Barrier(2)

        async def first(sender: Any, **kwargs: Any) -> str:
            await met.wait()
            return "first"

        async def second(sender: Any, **kwargs: Any) -> str:
            await met.wait()
            return "second"

        on("linked.a")(first)
        on("linked.a")(second)
        on("linked.a")(lambda sender, **kwargs: "third")
        assert await way(event("linked.a")) == ["first", "second", "third"]

    run(scenario)


def test_an_event_emits_itself() -> None:
    async def scenario() -> None:
        signal = event("linked.a")
        with Client(topics={"linked.a": ["me"]}) as client:
            assert signal.emit("me", result=1) == []
            assert await signal.emit_async("me", result=2) == []
            signal.emit("you", result=3)
            signal.emit(result=4)
            assert await heard_by(client) == [1, 2]

    run(scenario)


def test_an_event_connects_with_priority_and_condition_by_place_and_weakly() -> None:
    signal = event("linked.a")
    names = [
        ("receiver", inspect.Parameter.empty),
        ("sender", ANY),
        ("weak", True),
        ("priority", 0),
        ("condition", None),
    ]
    assert parameters_of(Event.connect) == names
    signal.connect(lambda sender, **kwargs: "low", ANY, False, 1)
    signal.connect(lambda sender, **kwargs: "high", "me", False, 2, lambda sender, **kwargs: True)
    signal.connect(lambda sender, **kwargs: "never", ANY, False, 3, lambda sender, **kwargs: False)
    signal.connect(lambda sender, **kwargs: "lost")
    gc.collect()
    assert signal.emit("me") == ["high", "low"]


def test_a_namespace_has_events_of_its_own_and_clients_hear_those_of_the_default_one() -> None:
    async def scenario() -> None:
        mine = Namespace().event("linked.a")
        assert mine is not default_namespace.event("linked.a")
        assert event("linked.a") is default_namespace.event("linked.a")
        got: list[str] = []
        mine.connect(lambda sender, **kwargs: got.append("mine"), weak=False)
        on("linked.a")(lambda sender, **kwargs: got.append("default"))
        with Client(topics=["*"]) as client:
            emit(mine, result="mine")
            await mine.emit_async(result="mine")
            emit("linked.a", result="default")
            assert await heard_by(client) == ["default"]
        assert got == ["mine", "mine", "default"]

    run(scenario)


def test_filter_signals_gives_the_events_whose_names_match() -> None:
    made = {name: event(name) for name in ("linked.a", "linked.b", "linked.b.c")}
    assert filter_signals("linked.b*") == {"linked.b.c": made["linked.b.c"]}
    assert {name: filter_signals("linked.*")[name] for name in made} == made
    assert filter_signals("linked.a") == {"linked.a": made["linked.a"]}
    assert filter_signals("nothing.*") == {}
    assert filter_signals("ANY") == dict(default_namespace)
    mine = Namespace()
    assert filter_signals("*", mine) == {}
    assert filter_signals("*.a", namespace=mine) == {}
    one = mine.event("my.a")
    assert filter_signals("*", mine) == filter_signals("*.a", namespace=mine) == {"my.a": one}


def test_a_condition_that_raises_leaves_its_handler_out(caplog: pytest.LogCaptureFixture) -> None:
    def broken(sender: Any, **kwargs: Any) -> bool:
        raise RuntimeError("broken condition")

    on("linked.a", condition=broken)(lambda sender, **kwargs: "left out")
    on("linked.a")(lambda sender, **kwargs: "there")
    with caplog.at_level(logging.ERROR, "nitro"):
        assert emit("linked.a") == ["there"]
    assert "broken condition" in caplog.text


def test_a_handler_that_returns_false_leaves_out_those_behind_it() -> None:
    on("linked.a", priority=1)(lambda sender, **kwargs: False)
    on("linked.a")(lambda sender, **kwargs: "behind")
    assert emit("linked.a") == [False]


# -- Entity ----------------------------------------------------------------------------------------------------


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class LinkedTodo(Entity, table=True):
    title: str
    notes: str | None = None
    priority: int = 0
    colour: Colour = Colour.RED
    tags: list[str] = Field(default_factory=list, sa_column=Column(JSON))
    due: date | None = None


class LinkedCounter(Entity, table=True):
    count: int  # type: ignore[assignment]  # it hides the method
    signals: str = "a field"  # type: ignore[assignment]  # and this one, too


class Page(TypedDict):
    sorting_field: str
    sort_direction: Literal["asc", "desc"]
    limit: int
    offset: int


@pytest.fixture
def todos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LinkedTodo]]:
    """Four of them: a, b, c and d, with priorities from 0 to 3."""
    monkeypatch.setenv("NITRO_DB_URL", f"sqlite:///{tmp_path / 'linked.db'}")
    get_settings.cache_clear()
    LinkedTodo._repository.init_db()
    yield [LinkedTodo(title=title, priority=n, notes="N" if n % 2 else None).save() for n, title in enumerate("abcd")]
    LinkedTodo._repository.close()
    get_settings.cache_clear()


def titles(found: list[LinkedTodo]) -> str:
    return "".join(sorted(one.title for one in found))


def test_save_is_true_when_it_was_saved_and_gives_the_entity(todos: list[LinkedTodo]) -> None:
    nothing: Any = None
    todo = LinkedTodo(title="e")
    saved = todo.save()
    assert saved
    assert saved is todo
    with pytest.raises(IntegrityError):
        LinkedTodo.model_construct(id="1", title=nothing, priority=0).save()


def test_find_by_takes_several_fields_and_gives_the_first_or_none(todos: list[LinkedTodo]) -> None:
    assert LinkedTodo.find_by(title="b", priority=1) == todos[1]
    assert LinkedTodo.find_by(notes="N") == todos[1]
    assert LinkedTodo.find_by(title="b", priority=2) is None


@pytest.mark.parametrize("order_by", ["priority", LinkedTodo.priority, col(LinkedTodo.priority).asc()])
def test_where_takes_a_column_or_a_name_to_order_by_and_pages(todos: list[LinkedTodo], order_by: Any) -> None:
    assert LinkedTodo.where(LinkedTodo.priority > 0, order_by=order_by, limit=2, offset=1) == todos[2:]
    assert LinkedTodo.where(order_by=col(LinkedTodo.priority).desc()) == todos[::-1]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"title": ["a", "c", "z"]}, "ac"),
        ({"title": {"a", "d"}}, "ad"),
        ({"title": []}, ""),
        ({"notes": ["N", None]}, "abcd"),
        ({"notes": [None]}, "ac"),
        ({"priority": (1, 2)}, "bc"),
        ({"priority": (2, None)}, "cd"),
        ({"priority": (None, 0)}, "a"),
        ({"priority": (2, 1)}, ""),
        ({"priority": list(range(1, 40_000))}, "bcd"),
        ({"colour": [Colour.BLUE]}, ""),
        ({"tags": []}, "abcd"),
        ({"title": "B"}, ""),
        ({"title": "B", "exact_match": False}, "b"),
        ({"title": ["A", "D"], "exact_match": False}, "ad"),
        ({"title": "%", "exact_match": False}, ""),
        ({"title": "", "priority": 3, "exact_match": False}, "d"),
        ({"notes": None, "exact_match": False}, "ac"),
        ({"colour": Colour.RED, "priority": 0, "exact_match": False}, "a"),
        ({}, "abcd"),
    ],
    ids=shown,
)
def test_filter_takes_values_lists_of_them_and_ranges(todos: list[LinkedTodo], values: Any, found: str) -> None:
    assert titles(LinkedTodo.filter(**values)) == found


def test_filter_gives_dicts_and_only_the_fields_that_were_named(todos: list[LinkedTodo]) -> None:
    page: Page = {"sorting_field": "priority", "sort_direction": "desc", "limit": 2, "offset": 1}
    assert LinkedTodo.filter(**page) == [todos[2], todos[1]]
    assert LinkedTodo.filter(**page, as_dict=True) == [todos[2].model_dump(), todos[1].model_dump()]
    named = LinkedTodo.filter(**page, as_dict=True, fields=["title", "priority"])
    assert named == [{"title": "c", "priority": 2}, {"title": "b", "priority": 1}]
    rows = LinkedTodo.filter(**page, fields=["title", "colour"])
    assert [(row.title, row.colour) for row in rows] == rows == [("c", Colour.RED), ("b", Colour.RED)]


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: LinkedTodo.filter(titel="a"), r"no field 'titel' \(did you mean 'title'\?\)"),
        (lambda: LinkedTodo.find_by(priorty=1), r"did you mean 'priority'\?"),
        (lambda: LinkedTodo.filter(fields=["colur"]), r"did you mean 'colour'\?"),
        (lambda: LinkedTodo.filter(sort_field="title"), r"did you mean 'sorting_field'\?"),
        (lambda: LinkedTodo.filter(nothing_like_it=1), r"'nothing_like_it'; its fields are colour, due, id"),
        (lambda: LinkedTodo.filter(fields=[]), "fields is empty"),
        (lambda: LinkedTodo.filter(priority=(1, 2, 3)), "two ends of a range"),
        (lambda: LinkedTodo.filter(priority=(None, None)), "two ends of a range"),
        (lambda: LinkedTodo.search("a", as_dict=True, fields=["titel"]), r"did you mean 'title'\?"),
    ],
)
def test_an_unknown_field_raises_and_names_the_nearest(todos: list[LinkedTodo], ask: Any, text: str) -> None:
    with pytest.raises(InvalidQuery, match=text):
        ask()


def test_search_without_a_text_finds_all(todos: list[LinkedTodo]) -> None:
    assert titles(LinkedTodo.search()) == titles(LinkedTodo.search("")) == titles(LinkedTodo.search(None)) == "abcd"
    assert LinkedTodo.search(sorting_field="title", limit=1, offset=2) == [todos[2]]
    assert titles(LinkedTodo.search(search_value="n")) == "bd"
    assert titles(LinkedTodo.search("n", fields=["title"])) == ""
    assert LinkedTodo.search("n", sorting_field="title", as_dict=True, fields=["title"]) == [
        {"title": "b"},
        {"title": "d"},
    ]
    assert LinkedTodo.search("A", as_dict=True) == [todos[0].model_dump()]


def test_count_counts_and_delete_where_deletes(todos: list[LinkedTodo]) -> None:
    assert (LinkedTodo.count(), LinkedTodo.count(LinkedTodo.priority > 1), todos[0].count()) == (4, 2, 4)
    assert LinkedTodo.delete_where(col(LinkedTodo.priority) > 1, col(LinkedTodo.title) != "d") == 1
    assert LinkedTodo.delete_where(col(LinkedTodo.title) == "z") == 0
    assert titles(LinkedTodo.all()) == "abd"
    assert LinkedTodo.delete_where(true()) == 3
    assert LinkedTodo.count() == 0


def test_delete_where_deletes_nothing_without_an_expression_of_columns(todos: list[LinkedTodo]) -> None:
    for expressions in ([], [True], [todos[0].title == "a"], [LinkedTodo.priority > 1, todos[0].title == "a"]):
        with pytest.raises(InvalidQuery, match=r"LinkedTodo.some_field == value"):
            LinkedTodo.delete_where(*expressions)  # type: ignore[arg-type]  # a type checker refuses it, too
    assert LinkedTodo.count() == 4


def test_a_field_may_be_called_count_or_signals(todos: list[LinkedTodo]) -> None:
    with pytest.raises(ValidationError, match="count"):
        LinkedCounter()  # type: ignore[call-arg]  # a type checker knows that it is a field
    one = LinkedCounter(count=3).save()
    assert LinkedCounter.filter(count=3) == [one]
    assert (one.count, one.signals) == (3, "a field")

    class LinkedDraft(Entity):
        count: int  # type: ignore[assignment]  # it hides the method
        signals: dict[str, int] = Field(default_factory=dict)

    draft = LinkedDraft(count=1, signals={"a": 1})
    draft.count = 2
    assert (draft.count, draft.signals) == (2, {"a": 1})


def test_signals_are_the_fields_as_what_datastars_attributes_take(todos: list[LinkedTodo]) -> None:
    todo = LinkedTodo(id="1", title="\"'<", due=date(2026, 1, 2), tags=["x"])
    expected = {
        "id": "1",
        "title": "\"'<",
        "notes": None,
        "priority": 0,
        "colour": "red",
        "tags": ["x"],
        "due": "2026-01-02",
    }
    assert todo.signals == todo.save().signals == expected
    assert list(todo.signals) == list(LinkedTodo.model_fields)
    (written,) = dict(attribute_generator.signals(todo.signals)).values()
    assert isinstance(written, str)
    assert json.loads(written) == expected


# -- nitro.infrastructure.events.starlette ---------------------------------------------------------------------

SIGNATURES = {
    "emit_elements": "elements selector=None mode='outer' use_view_transition=None event_id=None retry_duration=None "
    "topic=ANY sender=ANY",
    "emit_signals": "signals * event_id=None only_if_missing=None retry_duration=None topic=ANY sender=ANY",
    "remove_elements": "selector event_id=None retry_duration=None topic=ANY sender=ANY",
    "execute_script": "script * auto_remove=True attributes=None event_id=None retry_duration=None "
    "topic=ANY sender=ANY",
    "redirect": "location topic=ANY sender=ANY",
}
HELPERS: dict[str, tuple[Callable[..., str], Any, str]] = {
    "emit_elements": (starlette.emit_elements, "<p>\n", Sse.patch_elements("<p>\n")),
    "emit_signals": (starlette.emit_signals, {"a": [1]}, Sse.patch_signals({"a": [1]})),
    "remove_elements": (starlette.remove_elements, "#x", Sse.remove_elements("#x")),
    "execute_script": (starlette.execute_script, "f();\ng()", Sse.execute_script("f();\ng()")),
    "redirect": (starlette.redirect, "/there", Sse.redirect("/there").replace("'", '"')),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_helper_has_the_signature_of_its_page(name: str) -> None:
    shown, was_keyword = [], False
    for each in inspect.signature(HELPERS[name][0]).parameters.values():
        if each.kind is each.KEYWORD_ONLY and not was_keyword:
            shown.append("*")
            was_keyword = True
        shown.append(each.name if each.default is each.empty else f"{each.name}={each.default!r}")
    assert " ".join(shown) == SIGNATURES[name]


@pytest.mark.parametrize("name", HELPERS)
@pytest.mark.parametrize("topic", ["linked.page", event("linked.page"), ["linked.page"], ["other", "linked.page"]])
def test_a_helper_returns_the_frame_and_a_stream_yields_it(name: str, topic: Any) -> None:
    helper, argument, frame = HELPERS[name]

    async def scenario() -> None:
        with Client(topics={"linked.page": ["me"]}) as client:
            assert helper(argument, topic=topic, sender="me") == frame
            helper(argument, topic=topic, sender="you")
            assert await heard_by(client) == [frame]

    run(scenario)


@pytest.mark.parametrize("name", HELPERS)
@pytest.mark.parametrize("topic", [{}, {"topic": ANY}, {"topic": "ANY"}])
def test_without_a_topic_every_client_is_reached_whatever_it_hears(name: str, topic: Any) -> None:
    helper, argument, frame = HELPERS[name]

    async def scenario() -> None:
        clients = [Client(topics=topics).connect() for topics in ([], ["a.b"], ["*"], ["ANY"])]
        clients += [Client("one id", topics=["a.b"]).connect() for _ in range(2)]
        assert helper(argument, **topic) == frame
        for client in clients:
            assert await heard_by(client) == [frame]
            client.disconnect()

    run(scenario)


def test_where_others_share_the_broker_any_is_warned_of(hub_with: Any, tmp_path: Path) -> None:
    hub_with(broker_url=f"sqlite:///{tmp_path / 'log.db'}")
    with pytest.warns(NitroWarning, match="this process alone.*topic='page'"):
        starlette.emit_elements("<p>")


@pytest.mark.parametrize("topic", [[], ["a.b", ANY], ["ANY"]])
def test_a_list_of_topics_names_some_and_not_all(topic: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least one topic"):
        starlette.emit_elements("<p>", topic=topic)


def test_a_sender_without_a_topic_is_warned_of() -> None:
    with pytest.warns(NitroWarning, match="sender= has no effect"):
        starlette.redirect("/", sender="me")


@pytest.mark.parametrize("name", [name for name in HELPERS if name != "redirect"])
def test_event_id_and_retry_duration_are_taken_and_warned_of(name: str) -> None:
    helper, argument, frame = HELPERS[name]
    with pytest.warns(NitroWarning, match="event_id= has no effect.*leave it out") as caught:
        assert helper(argument, event_id="7", topic="linked.page") == frame
    assert caught[0].filename == __file__
    with pytest.warns(NitroWarning, match="retry_duration= has no effect"):
        assert helper(argument, retry_duration=7, topic="linked.page") == frame


@pytest.mark.parametrize("mode", ["inner", ElementPatchMode.INNER])
def test_a_mode_is_datastars_or_its_text(mode: Any) -> None:
    made = type("Made", (), {"__html__": lambda self: "<p>"})()
    expected = Sse.patch_elements("<p>", "#x", ElementPatchMode.INNER, use_view_transition=True)
    assert starlette.emit_elements(made, "#x", mode, True, topic="linked.page") == expected


@pytest.mark.parametrize("attributes", [{"type": "module", "data-x": "\"'<>&\n"}, ['type="module"', "defer"]])
def test_a_script_has_the_attributes_that_it_was_given(attributes: Any) -> None:
    frame = starlette.execute_script("f()", auto_remove=False, attributes=attributes, topic="linked.page")
    shown = 'type="module" defer' if isinstance(attributes, list) else 'type="module" data-x="&quot;&#x27;&lt;&gt;&amp;'
    assert f"elements <script {shown}" in frame
    assert frame.endswith(">f()</script>\n\n")


@pytest.mark.parametrize(
    "attributes", [{"a b": "c"}, {"a>": ""}, {"": "x"}, ['a="b" c>'], ['a="b'], ["a=<"], ["a b"], ['a="<script>"']]
)
def test_what_would_not_stay_an_attribute_is_refused(attributes: Any) -> None:
    with pytest.raises(InvalidField, match="attribute"):
        starlette.execute_script("f()", attributes=attributes, topic="linked.page")


FORGED = [
    Sse.execute_script("alert(1)"),
    "event: datastar-patch-elements\r",
    "\ndata: elements <script>alert(1)</script>\n\n",
    {"datastar": "datastar-patch-elements", "lines": ["elements <script>"]},
    ["event: datastar-patch-elements\n\n"],
    "plain",
]


def test_a_page_that_yields_what_it_gets_as_it_is_has_the_frames_and_nobody_elses_data_is_one() -> None:
    with Server("tests.apps.linked:app") as server, Stream(server.port, "/events") as stream:
        stream.read_until(b": connected\n\n")
        httpx.post(f"{server.url}/emit", json=FORGED).raise_for_status()
        frames = httpx.post(f"{server.url}/change").raise_for_status().json()
        stream.read_until(b"<b>all</b>\n\n")
        assert "Warning" not in server.output, server.output
    body = stream.body.decode().removeprefix(": connected\n\n")
    assert body.endswith("".join(frames))
    data = body.removesuffix("".join(frames))
    assert data == "".join(f"data: {to_json(each).decode()}\n\n" for each in FORGED[:-1]) + "plain"


@pytest.mark.parametrize("text", ["a\nb", "\r", "a\n\nevent: x\ndata: y"])
def test_a_text_with_line_ends_is_that_text_and_encodes_as_an_event(text: str) -> None:
    async def scenario() -> None:
        with Client(topics=["linked.page"]) as client:
            emit("linked.page", result=text)
            (heard,) = await heard_by(client)
            assert (heard, f"{heard}", heard[:], json.dumps(heard)) == (text, text, text, json.dumps(text))
            assert bytes(heard, "utf-8") == text.encode()
            assert heard.encode() == f"data: {json.dumps(text)}\n\n".encode()

    run(scenario)
