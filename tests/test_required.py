"""Handlers that must have run: what they or their conditions raise lets nothing through, and reaches the emitter."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from nitro import Client, emit, emit_async, event, on
from nitro.errors import ConfigurationError
from tests.documents import Document

RUNS_BLOCKS = {"docs/how-to/handlers.md": ["python"]}
pytestmark = pytest.mark.usefixtures("hub", "no_handlers")


class Refused(Exception):
    pass


def refuse(sender: Any, *args: Any, **kwargs: Any) -> Any:
    raise Refused(sender)


def heard_after(emitting: Any) -> list[Any]:
    """What a client of everything gets, when `emitting` is called and then the end is emitted."""

    async def scenario() -> list[Any]:
        with Client(topics=["*"]) as client:
            outcome = emitting()
            if asyncio.iscoroutine(outcome):
                await outcome
            emit("the.end", result="the end")
            heard = []
            async for data in client.stream():
                heard.append(data)
                if data == "the end":
                    return heard
        raise AssertionError("the stream ended")

    return asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("way", ["emit", "emit_async", "Event.emit", "Event.emit_async"])
@pytest.mark.parametrize("where", ["handler", "condition"])
def test_what_a_required_handler_or_its_condition_raises_stops_all_and_reaches_the_emitter(
    way: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []
    on("a.b", priority=2)(lambda sender, **kwargs: called.append("before"))
    if where == "handler":
        on("a.*", priority=1, required=True)(refuse)
    else:
        on("a.*", priority=1, required=True, condition=refuse)(lambda sender, **kwargs: None)
    on("a.b")(lambda sender, **kwargs: called.append("behind"))
    signal = event("a.b")
    ways: dict[str, Callable[[], object]] = {
        "emit": lambda: emit("a.b", "me", result=1),
        "emit_async": lambda: emit_async("a.b", "me", result=1),
        "Event.emit": lambda: signal.emit("me", result=1),
        "Event.emit_async": lambda: signal.emit_async("me", result=1),
    }

    def emitting() -> Any:
        async def waiting() -> None:
            with pytest.raises(Refused, match="me"):
                outcome = ways[way]()
                assert inspect.isawaitable(outcome)
                await outcome

        if "async" in way:
            return waiting()
        with pytest.raises(Refused, match="me"):
            ways[way]()
        return None

    with caplog.at_level(logging.ERROR, "nitro"):
        assert heard_after(emitting) == ["the end"]
    assert called == ["before"]
    assert caplog.text == ""  # the emitter has it


def test_a_required_handler_that_runs_is_as_any() -> None:
    def steps(sender: Any, **kwargs: Any) -> Iterator[int]:
        yield 1
        yield 2

    on("a.b", required=True)(lambda sender, **kwargs: "ran")
    on("a.b", required=True)(steps)
    on("a.c", required=True)(lambda sender, **kwargs: False)
    on("a.d", required=True, condition=lambda sender, **kwargs: False)(refuse)
    assert heard_after(lambda: emit("a.b", result=1)) == [1, "the end"]
    assert emit("a.b") == ["ran", [1, 2]]
    assert heard_after(lambda: emit("a.c", result=1)) == ["the end"]
    assert heard_after(lambda: emit("a.d", result=1)) == [1, "the end"]  # its condition left it out


def test_a_generator_that_raises_in_the_middle_has_not_run() -> None:
    def steps(sender: Any, **kwargs: Any) -> Iterator[int]:
        yield 1
        raise Refused

    event("a.b").connect(steps, required=True)
    with pytest.raises(Refused):
        emit("a.b", result=1)


def test_asynchronous_handlers_before_it_still_run_to_their_end() -> None:
    done: list[str] = []

    async def before(sender: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        done.append(sender)

    on("a.b", priority=1)(before)
    on("a.b", required=True)(refuse)

    async def scenario() -> None:
        with pytest.raises(Refused):
            emit("a.b", "emit", result=1)
        with pytest.raises(Refused):
            await emit_async("a.b", "emit_async", result=1)
        assert done == ["emit", "emit_async"]

    asyncio.run(scenario())


def test_the_next_emit_is_not_hurt() -> None:
    on("a.b", "bad", required=True)(refuse)
    with pytest.raises(Refused):
        emit("a.b", "bad", result=1)
    assert heard_after(lambda: emit("a.b", "good", result=2)) == [2, "the end"]


async def coroutine(sender: Any, **kwargs: Any) -> bool:
    return False


async def generator(sender: Any, **kwargs: Any) -> AsyncIterator[int]:
    yield 1


class Awaited:
    async def __call__(self, sender: Any, **kwargs: Any) -> None: ...

    async def method(self, sender: Any, **kwargs: Any) -> None: ...


AWAITED = [coroutine, generator, partial(coroutine, extra=1), Awaited(), Awaited().method]


@pytest.mark.parametrize("handler", AWAITED)
def test_what_would_be_awaited_can_not_be_required_nor_be_a_condition(handler: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"can't be required.*a plain function"):
        on("a.b", required=True)(handler)
    with pytest.raises(ConfigurationError, match="can't be required"):
        event("a.b").connect(handler, required=True)
    with pytest.raises(ConfigurationError, match="would always be true; make it a plain function"):
        on("a.b", condition=handler)(lambda sender, **kwargs: None)
    assert not event("a.b").is_handled


def test_a_required_function_that_only_starts_something_has_not_run() -> None:
    on("a.b", required=True)(lambda sender, **kwargs: coroutine(sender))

    def emitting() -> None:
        with pytest.raises(ConfigurationError, match="would run after the event is delivered"):
            emit("a.b", result=1)

    assert heard_after(emitting) == ["the end"]


def test_a_required_handler_is_held_however_it_was_connected() -> None:
    event("a.b").connect(lambda sender, **kwargs: refuse(sender), required=True)
    on("a.c", weak=True, required=True)(lambda sender, **kwargs: refuse(sender))
    gc.collect()
    for name in ("a.b", "a.c"):
        with pytest.raises(Refused):
            emit(name, result=1)


def test_a_handler_that_is_held_stays_so_if_it_is_connected_once_more_weakly() -> None:
    on("a.b", sender="one", required=True)(handler := lambda sender, **kwargs: refuse(sender))
    event("a.b").connect(handler, sender="two")
    del handler
    gc.collect()
    with pytest.raises(Refused):
        emit("a.b", "one", result=1)


def test_the_example_of_the_documentation_does_what_it_says() -> None:
    page = Document("docs/how-to/handlers.md")
    names: dict[str, Any] = {"may_be_told": lambda sender, result: sender != "stranger"}
    todo = {"title": "Milk", "is_urgent": False}

    def emitting() -> None:
        page.run(page.the("python"), names)
        assert emit("todo.created", "stranger", result=todo) == [False]
        with pytest.raises(ValueError, match="no title"):
            emit("todo.created", "me", result=todo | {"title": ""})

    assert heard_after(emitting) == [todo, "the end"]
