"""Events and their handlers: order, conditions, cancellation, isolation, and the four kinds."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import runpy
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest
from blinker import NamedSignal
from starlette.concurrency import run_in_threadpool

from nitro import ANY, Client, Event, Namespace, default_namespace, emit, emit_async, event, on
from nitro.delivery.hub import Hub
from nitro.errors import ConfigurationError, InvalidPayload, InvalidTopic, NitroWarning, TopicTypeError

pytestmark = pytest.mark.usefixtures("hub", "no_handlers")


def test_an_event_is_blinkers_named_signal_and_there_is_one_for_each_name() -> None:
    created = event("todo.created")
    assert isinstance(created, NamedSignal)
    assert created is event("todo.created")
    assert isinstance(created, Event)
    assert created.name == "todo.created"


def test_an_event_has_the_first_docstring_that_it_is_given_also_if_a_handler_has_named_it_before() -> None:
    events = Namespace()
    named = events.event("todo.created")
    assert events.event("todo.created", "A todo is there.") is named
    assert events.event("todo.created", "Other words.").__doc__ == events.event("todo.created").__doc__
    assert named.__doc__ == "A todo is there."


def test_decorators_give_the_function_back_unchanged() -> None:
    def handler(sender: Any, **kwargs: Any) -> None: ...

    assert on("todo.created")(handler) is handler


def test_emit_returns_what_the_synchronous_handlers_returned_in_order() -> None:
    on("a.b", priority=-1)(lambda sender, **kwargs: "last")
    on("a.b")(lambda sender, **kwargs: "second")
    on("a.b")(lambda sender, **kwargs: "third")
    on("a.b", priority=5)(lambda sender, **kwargs: "first")
    assert emit("a.b", "me") == ["first", "second", "third", "last"]


def test_handlers_get_the_sender_and_the_keywords_that_were_emitted() -> None:
    got: list[Any] = []
    on("a.b")(lambda sender, **kwargs: got.append((sender, kwargs)))
    emit("a.b", "me", result={"x": 1}, extra=2)
    assert got == [("me", {"result": {"x": 1}, "extra": 2})]


@pytest.mark.parametrize("id", ["\ud800", "x" * 5_000, "é" * 2_100], ids=ascii)
def test_an_id_that_no_log_can_hold_is_refused_before_the_handlers_are_called(id: str) -> None:
    called: list[Any] = []
    newest = event("a.newest", latest_by="id")
    on("a.*")(lambda sender, **kwargs: called.append(sender))
    with pytest.raises(InvalidPayload, match="the sender's key"):
        emit("a.b", id, result=1)
    with pytest.raises(InvalidPayload, match=r"latest_by field|surrogates not allowed"):
        newest.emit("me", result={"id": id})
    with pytest.raises(InvalidPayload, match=r"latest_by field|surrogates not allowed"):
        asyncio.run(newest.emit_async("me", result={"id": id}))
    assert called == []
    emit("a.b", id)
    assert called == [id], "what is only for handlers is in no log"


@pytest.mark.parametrize("name", ["presence.lobby", "presence.*", "presence.shop.*"])
def test_a_handler_of_rooms_which_would_never_be_called_is_refused(name: str) -> None:
    with pytest.raises(InvalidTopic, match="reserved"):
        on(name)


def test_a_handler_that_returns_false_stops_those_behind_it_and_the_delivery_to_clients() -> None:
    called: list[str] = []
    on("a.b", priority=1)(lambda sender, **kwargs: False)
    on("a.b")(lambda sender, **kwargs: called.append("behind"))
    on("a.c")(lambda sender, **kwargs: 0)

    async def scenario() -> list[Any]:
        with Client(topics=["a.*"]) as client:
            assert emit("a.b", result=1) == [False]
            emit("a.c", result=2)  # 0 is not False
            return [await anext(client.stream())]

    assert asyncio.run(scenario()) == [2]
    assert called == []


def test_a_handler_that_raises_is_logged_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken handler")

    on("a.b")(broken)
    on("a.b")(lambda sender, **kwargs: "fine")
    with caplog.at_level(logging.ERROR, "nitro"):
        assert emit("a.b") == ["fine"]
    assert "broken handler" in caplog.text


def test_a_condition_decides_and_one_that_raises_leaves_its_handler_out(caplog: pytest.LogCaptureFixture) -> None:
    on("a.b", condition=lambda sender, **kwargs: kwargs["n"] > 1)(lambda sender, **kwargs: "big")
    on("a.b")(lambda sender, **kwargs: "always")
    assert emit("a.b", n=1) == ["always"]
    assert emit("a.b", n=2) == ["big", "always"]
    assert emit("a.b") == ["always"]
    assert "KeyError" in caplog.text


def test_a_pattern_handler_hears_events_that_are_created_later() -> None:
    got: list[str] = []
    on("later.*")(lambda sender, **kwargs: got.append(sender))
    emit("later.on", "one")
    with pytest.warns(NitroWarning, match="nobody handles it"):
        emit("other.on", "two")
    emit("later.and.deeper", "three")
    assert got == ["one", "three"]


def test_pattern_and_exact_handlers_share_one_order() -> None:
    on("a.*", priority=1)(lambda sender, **kwargs: "pattern first")
    on("a.b", priority=2)(lambda sender, **kwargs: "exact before it")
    on("*", priority=0)(lambda sender, **kwargs: "everything last")
    assert emit("a.b") == ["exact before it", "pattern first", "everything last"]


def test_a_handler_may_be_limited_to_a_sender() -> None:
    on("a.b", "alice")(lambda sender, **kwargs: sender)
    assert emit("a.b", "bob") == []
    assert emit("a.b", "alice") == ["alice"]


class Order:
    """A row, which is another object each time it is read."""

    def __init__(self, id: Any) -> None:
        self.id = id


def test_a_handler_that_ends_the_program_keeps_no_other_from_running() -> None:
    ran: list[str] = []

    @on("a.b", priority=1)
    async def before(sender: Any, **kwargs: Any) -> None:
        ran.append("before")

    @on("a.b")
    def ends(sender: Any, **kwargs: Any) -> None:
        raise SystemExit(3)

    async def scenario() -> None:
        with Client(topics=["a.b"]) as client:
            with pytest.raises(SystemExit):
                await emit_async("a.b", result=1)
            assert ran == ["before"]
            with pytest.raises(SystemExit):
                emit("a.b", result=1)
            event("a.b").disconnect(ends)
            emit("a.b", result=2)
            assert await anext(client.stream()) == 2, "what was cancelled is not sent"

    asyncio.run(scenario())
    assert ran == ["before"] * 3


@pytest.mark.parametrize(
    ("limited_to", "sender"),
    [
        (Order("o1"), Order("o1")),
        (Order(7), "7"),
        ("o1", Order("o1")),
        (UUID(int=5), UUID(int=5)),
        (0, Order("0")),
        (False, False),
        (["a", Order("b")], "b"),
        (("a", "b"), "a"),
        ({"a", "b"}, Order("a")),
    ],
)
def test_senders_of_handlers_are_compared_by_their_key(limited_to: Any, sender: Any) -> None:
    @on("a.b", sender=limited_to)
    def handler(sender: Any, **kwargs: Any) -> Any:
        return sender

    gc.collect()
    assert emit("a.b", sender) == [sender], "as it was emitted"
    assert emit("a.b", "another") == emit("a.b", True) == emit("a.b") == []
    assert event("a.b").has_receivers_for(sender)
    event("a.b").disconnect(handler, limited_to)
    assert emit("a.b", sender, result=None) == []


def test_a_sender_without_an_id_is_the_object_itself() -> None:
    one, other = object(), Order(None)
    on("a.b", sender=[one, other])(lambda sender, **kwargs: "heard")
    assert emit("a.b", one) == emit("a.b", other) == ["heard"]
    assert emit("a.b", object()) == emit("a.b", Order(None)) == []


def test_a_list_of_senders_with_any_is_every_sender() -> None:
    on("a.b", sender=["a", ANY])(lambda sender, **kwargs: "heard")
    assert emit("a.b", "b") == emit("a.b") == ["heard"]


@pytest.mark.parametrize("sender", [0, "", False, None, ANY, 1.5])
def test_any_object_may_emit(sender: Any) -> None:
    on("a.b")(lambda sender, **kwargs: "heard")
    assert emit("a.b", sender) == ["heard"]


def test_on_holds_its_handler_and_connect_does_not() -> None:
    on("a.b")(lambda sender, **kwargs: "held")
    event("a.b").connect(lambda sender, **kwargs: "lost")
    gc.collect()
    assert emit("a.b") == ["held"]


EXECUTED_TWICE = """
import importlib
from pydantic import BaseModel
from nitro import event, on

class TodoOut(BaseModel):
    id: int

created = event("{name}.created", schema=TodoOut)
event("{name}.listed", schema=list[TodoOut] | None)

@on(created, sender="me")
@on("{name}.*", priority=1)
def note(sender, **kwargs):
    return __name__

on(created)(lambda sender, **kwargs: 1), on(created)(lambda sender, **kwargs: 2)

if __name__ != "{name}":
    importlib.import_module("{name}")
"""


@pytest.mark.parametrize("program", ["__main__", "__mp_main__"])
def test_a_file_that_is_the_program_and_is_imported_too_has_each_handler_once(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"twice_{program.strip('_')}"
    (tmp_path / f"{name}.py").write_text(EXECUTED_TWICE.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    held = runpy.run_path(str(tmp_path / f"{name}.py"), run_name=program)
    imported = sys.modules.pop(name)
    assert held["created"] is imported.created
    assert emit(held["created"], "me", result=held["TodoOut"](id=1)) == [name, name, 1, 2]
    assert imported.created.schema.of is imported.TodoOut
    with pytest.raises(ConfigurationError, match=f"'{name}.created' has schema=.*TodoOut'> already: declare it once"):
        event(f"{name}.created", schema=held["TodoOut"] | None)


DECORATING = """
import functools

def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
"""
DECORATED = """
from decorating import logged
from nitro import emit, on

@on("decorated.sent")
@logged
def note(sender, name=__name__, **kwargs):
    return name

if __name__ == "__main__":
    import decorated_as_well
    before = emit("decorated.sent")
    import decorated
    after = emit("decorated.sent")
"""


def test_handlers_of_one_decorator_and_one_name_are_two_if_they_are_of_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "decorating.py").write_text(DECORATING)
    for name in ("decorated", "decorated_as_well"):
        (tmp_path / f"{name}.py").write_text(DECORATED)
    monkeypatch.syspath_prepend(tmp_path)
    held = runpy.run_path(str(tmp_path / "decorated.py"), run_name="__main__")
    for name in ("decorating", "decorated", "decorated_as_well"):
        del sys.modules[name]
    assert held["before"] == ["__main__", "decorated_as_well"]
    assert held["after"] == ["decorated_as_well", "decorated"]


def test_functions_of_one_line_that_are_made_again_and_again_are_all_handlers() -> None:
    for number in range(3):
        on("a.b")(lambda sender, number=number, **kwargs: number)
    assert emit("a.b") == [0, 1, 2]


def test_a_handler_that_an_earlier_one_disconnects_is_not_called_any_more() -> None:
    def last(sender: Any, **kwargs: Any) -> str:
        return "last"

    @on("a.*", priority=1)
    def first(sender: Any, **kwargs: Any) -> str:
        event("a.b").disconnect(last, sender)
        return "first"

    on("a.b", sender=["one", "two"])(last)
    assert emit("a.b", "one") == ["first"]
    assert emit("a.b", "two", result=1) == ["first"]
    on("a.b")(last)
    default_namespace.pattern("a.*").disconnect(first)
    assert emit("a.b", "one") == ["last"]


def test_a_handler_that_is_disconnected_from_all_its_senders_is_let_go() -> None:
    def handler(sender: Any, **kwargs: Any) -> str:
        return "heard"

    signal = event("a.b")
    signal.connect(handler, sender=["one", "two"], weak=False)
    signal.disconnect(handler, sender=["one", "three"])
    assert (emit(signal, "one", result=1), emit(signal, "two")) == ([], ["heard"])
    lives = weakref.ref(handler)
    signal.disconnect(handler, sender="two")
    del handler
    gc.collect()
    assert lives() is None
    assert not signal.is_handled
    assert not signal.receivers


def test_blinkers_ways_still_work() -> None:
    signal = event("a.b")
    got: list[Any] = []

    def receiver(sender: Any, **kwargs: Any) -> None:
        got.append(sender)

    with signal.connected_to(receiver):
        assert list(signal.receivers_for("me")) == [receiver]
        emit(signal, "inside")
    with pytest.warns(NitroWarning, match="nobody handles it"):
        emit(signal, "outside")
    with signal.muted():
        emit(signal, "muted")
    assert got == ["inside"]


def test_generators_run_to_their_end_and_give_a_list() -> None:
    def steps(sender: Any, **kwargs: Any) -> Iterator[int]:
        yield 1
        yield 2

    on("a.b")(steps)
    assert emit("a.b") == [[1, 2]]


def test_emit_async_awaits_all_kinds_and_keeps_the_order_of_results() -> None:
    async def coroutine(sender: Any, **kwargs: Any) -> str:
        await asyncio.sleep(0.01)
        return "coroutine"

    async def agen(sender: Any, **kwargs: Any) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    async def broken(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("logged")

    on("a.b", priority=4)(coroutine)
    on("a.b", priority=3)(lambda sender, **kwargs: "function")
    on("a.b", priority=2)(broken)
    on("a.b", priority=1)(agen)
    assert asyncio.run(emit_async("a.b")) == ["coroutine", "function", [1, 2]]


def test_emit_starts_asynchronous_handlers_in_the_running_loop_and_does_not_wait() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    got: list[Any] = []

    async def scenario() -> None:
        done = asyncio.Event()

        async def handler(sender: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            got.append((variable.get(), asyncio.get_running_loop()))
            done.set()

        on("a.b")(handler)
        variable.set("the emitter's")
        assert emit("a.b") == []
        assert got == []
        await asyncio.wait_for(done.wait(), 5)
        assert got == [("the emitter's", asyncio.get_running_loop())]

    asyncio.run(scenario())


def test_a_handler_that_ends_with_its_event_loop_is_logged_and_not_one_whose_emit_async_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun: list[str] = []

    async def write_mail(sender: Any, **kwargs: Any) -> None:
        begun.append(sender)
        await asyncio.Event().wait()

    on("a.b")(write_mail)

    async def view() -> None:
        emit("a.b", "view")

    async def gives_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(emit_async("a.b", "gives up"), 0.01)

    asyncio.run(gives_up())
    assert caplog.messages == []
    asyncio.run(view())
    assert begun == ["gives up", "view"]
    (text,) = caplog.messages
    assert "write_mail" in text
    assert "'a.b' was cancelled" in text
    assert "await emit_async(…)" in text


def test_a_handler_that_the_application_cancels_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    running: list[asyncio.Task[Any] | None] = []
    saved: list[str] = []

    @on("a.b")
    async def save_soon(sender: Any, **kwargs: Any) -> None:
        if running and (before := running.pop()):
            before.cancel()
        running.append(asyncio.current_task())
        await asyncio.sleep(0.01)
        saved.append(sender)

    async def scenario() -> None:
        for key in "abc":
            emit("a.b", key)
            await asyncio.sleep(0)
        while not saved:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert (saved, caplog.messages) == (["c"], [])


def test_a_handler_that_awaits_something_cancelled_cancels_nobody_else() -> None:
    async def handler(sender: Any, **kwargs: Any) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    def synchronous(sender: Any, **kwargs: Any) -> None:
        raise asyncio.CancelledError

    on("a.b")(handler)
    on("a.b")(synchronous)
    on("a.b")(lambda sender, **kwargs: "fine")

    async def scenario() -> None:
        with Client(topics=["a.b"]) as client:
            assert await emit_async("a.b", result=1) == ["fine"]
            assert await anext(client.stream()) == 1

    asyncio.run(scenario())


def test_a_handler_may_have_a_condition_for_one_sender_and_none_for_another() -> None:
    def handler(sender: Any, **kwargs: Any) -> Any:
        return sender

    on("a.b", "x")(handler)
    on("a.b", "y", condition=lambda sender, **kwargs: False)(handler)
    assert emit("a.b", "x") == ["x"]
    assert emit("a.b", "y") == []


def test_names_that_are_only_emitted_are_not_kept() -> None:
    before = len(default_namespace)
    for n in range(100):
        emit(f"user.{n}.renamed", result=1)
    assert len(default_namespace) == before


def test_asynchronous_handlers_run_when_a_plain_thread_emits() -> None:
    done = threading.Event()

    async def handler(sender: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        done.set()

    on("a.b")(handler)
    assert emit("a.b") == []
    assert done.wait(5)


def test_asynchronous_handlers_run_in_the_applications_loop_when_its_threadpool_emits() -> None:
    async def scenario() -> None:
        done = asyncio.Event()
        loops: list[Any] = []

        async def handler(sender: Any, **kwargs: Any) -> None:
            loops.append(asyncio.get_running_loop())
            done.set()

        on("a.b")(handler)
        await run_in_threadpool(emit, "a.b")
        await asyncio.wait_for(done.wait(), 5)
        assert loops == [asyncio.get_running_loop()]

    asyncio.run(scenario())


def test_a_worker_thread_that_outlives_its_loop_can_emit() -> None:
    go_on, done = threading.Event(), threading.Event()

    async def handler(sender: Any, **kwargs: Any) -> None:
        done.set()

    def work() -> None:
        go_on.wait(5)
        emit("a.b")

    async def scenario() -> None:
        with anyio.move_on_after(0.05):
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

    on("a.b")(handler)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(scenario())
    go_on.set()
    assert done.wait(5)
    loop.run_until_complete(asyncio.sleep(0.1))  # lets the worker thread report to its loop before that closes
    loop.close()


def test_a_handler_may_emit_again() -> None:
    on("a.b")(lambda sender, **kwargs: emit("a.c", sender))
    on("a.c")(lambda sender, **kwargs: "inner")
    assert emit("a.b") == [["inner"]]


def test_a_pattern_cannot_be_emitted(hub: Hub) -> None:
    with pytest.raises(InvalidTopic, match="pattern"):
        emit("todo.*", result=1)
    with pytest.raises(InvalidTopic, match="pattern"):
        emit(default_namespace.pattern("todo.*"), result=1)
    assert hub.broker.head.sequence == 0


@pytest.mark.parametrize("name", [b"a", 1, None])
def test_what_is_no_event_is_a_type_error(name: Any) -> None:
    with pytest.raises(TopicTypeError):
        emit(name, result=1)


def test_what_cannot_be_sent_raises_before_any_handler_is_called() -> None:
    called: list[Any] = []
    on("a.b")(lambda sender, **kwargs: called.append(sender))
    with pytest.raises(InvalidPayload):
        emit("a.b", "me", result=object())
    assert called == []


def test_namespaces_are_apart() -> None:
    mine = Namespace()
    got: list[str] = []
    mine.pattern("a.*").connect(lambda sender, **kwargs: got.append("mine"), weak=False)
    on("a.*")(lambda sender, **kwargs: got.append("default"))
    emit(mine.event("a.b"))
    assert got == ["mine"]
    emit("a.b")
    assert got == ["mine", "default"]


def test_the_sender_is_asked_for_its_id_when_the_handlers_have_run(hub: Hub, no_handlers: None) -> None:
    class Row:
        id: int | None = None

    @on("row.saved")
    def save(sender: Row, **kwargs: Any) -> None:
        sender.id = 7

    with Client(topics={"row.saved": ["7"]}) as client:
        emit("row.saved", Row(), result=1)
        outbox = client._membership.outbox
        assert outbox is not None
        assert outbox.waiting[0] == 1
