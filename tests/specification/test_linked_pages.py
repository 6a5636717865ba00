"""What the pages that the specification links to describe, one test for each row of their tables."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from typing import Any

import pytest

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
)
from tests.specification.hearing import heard_by, run

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
