"""EventSourceResponse by itself: its client before, beside and after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.background import BackgroundTask

from nitro import Client, EventSourceResponse, client_event, emit
from nitro.errors import ConfigurationError, InvalidField
from tests.wire import Wire

pytestmark = pytest.mark.usefixtures("hub")


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_the_rest_of_a_half_read_batch_is_the_responses() -> None:
    async def scenario() -> None:
        client = Client(topics=["a"]).connect()
        for n in range(4):
            emit("a", result=n)
        assert await anext(client.stream()) == 0
        wire = Wire()
        task = wire.answer(client)
        await wire.until(b"data: 3\n")
        assert [line for line in wire.body.split(b"\n") if line.startswith(b"data")] == [
            b"data: 1",
            b"data: 2",
            b"data: 3",
        ]
        wire.gone.set()
        await task

    run(scenario)


def test_a_clients_second_response_is_refused_while_the_first_streams_and_answered_after_it() -> None:
    async def scenario() -> None:
        client = Client(topics=["a"])
        first, second = Wire(), Wire()
        earlier = first.answer(client)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="streamed already, to another request"):
                await second.answer(client)
            await first.until(b"id: ")
        assert second.body == b""
        emit("a", result="heard")
        await first.until(b'data: "heard"')
        first.gone.set()
        await earlier
        assert not client.is_connected
        later = second.answer(client)
        await second.until(b"id: ")
        emit("a", result="heard again")
        await second.until(b'data: "heard again"')
        second.gone.set()
        await later
        assert not client.is_connected

    run(scenario)


def test_a_client_that_was_disconnected_can_be_streamed_again_while_its_last_bytes_are_on_the_way() -> None:
    async def scenario() -> None:
        release = asyncio.Event()

        class Slow(Wire):
            async def send(self, message: Any) -> None:
                if not message.get("more_body", True):
                    await release.wait()
                await super().send(message)

        client = Client(topics=["a"])
        first, second, third = Slow(), Wire(), Wire()
        earlier = first.answer(client)
        await first.until(b"id: ")
        client.disconnect()
        later = second.answer(client)
        await second.until(b"id: ")
        release.set()
        await earlier
        with pytest.raises(ConfigurationError, match="streamed already"):  # the end of the first gave nothing free
            await third.answer(client)
        emit("a", result="heard")
        await second.until(b'data: "heard"')
        second.gone.set()
        await later

    run(scenario)


@pytest.mark.parametrize("failure", [RuntimeError("broken"), asyncio.CancelledError()])
def test_a_send_that_fails_ends_its_own_stream_and_no_other(failure: BaseException) -> None:
    async def scenario() -> None:
        good, bad, also_good = Wire(), Wire(), Wire()

        async def fail(message: Any) -> None:
            if b"data" in message.get("body", b""):
                raise failure
            bad.body += message.get("body", b"")

        tasks = [good.answer(Client(topics=["a"]))]
        await good.until(b"id: ")
        bad.send = fail  # type: ignore[method-assign]
        failing = bad.answer(Client(topics=["a"]))
        await bad.until(b"id: ")
        tasks.append(also_good.answer(Client(topics=["a"])))
        await also_good.until(b"id: ")
        emit("a", result=1)
        await good.until(b"data: 1")
        await also_good.until(b"data: 1")
        with pytest.raises(RuntimeError):
            await failing
        for wire, task in zip((good, also_good), tasks, strict=True):
            wire.gone.set()
            await task

    run(scenario)


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_a_client_that_is_gone_before_its_stream_stands_is_no_error(sent: int) -> None:
    """Since ASGI 2.4, a server may raise OSError then."""

    async def scenario() -> None:
        wire, done = Wire(), list[int]()
        messages: list[Any] = []

        async def send(message: Any) -> None:
            if len(messages) == sent:
                raise OSError("the client is gone")
            messages.append(message)

        wire.send = send  # type: ignore[method-assign]
        client = Client(topics=["a"])
        answering = wire.answer(EventSourceResponse(client, background=BackgroundTask(done.append, 1)))
        while len(messages) < sent:
            await asyncio.sleep(0)
        emit("a", result=1)
        await answering
        assert done == [1]
        assert not client.is_connected

    run(scenario)


@pytest.mark.parametrize("steps", range(12))
def test_cancelling_a_response_at_any_step_leaves_no_task_behind(steps: int) -> None:
    async def scenario() -> None:
        wire = Wire()
        client = Client(topics=["a"])
        task = wire.answer(client)
        for _ in range(steps):
            emit("a", result=1)
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert not any(each.get_name() == "nitro writer" for each in asyncio.all_tasks())
        assert not client.is_connected

    run(scenario)


@pytest.mark.parametrize("retry", [-1, 1.5, True, "1e3"])
def test_a_wrong_retry_is_the_callers_error(retry: Any) -> None:
    with pytest.raises(InvalidField):
        EventSourceResponse(Client(), retry_milliseconds=retry)


def test_a_writer_that_was_overtaken_takes_nothing_from_its_successor() -> None:
    async def scenario() -> None:
        release = asyncio.Event()

        class Slow(Wire):
            async def send(self, message: Any) -> None:
                if b"data: 0" in message.get("body", b""):
                    await release.wait()
                await super().send(message)

        client = Client(topics=["a"])
        first = Slow()
        earlier = first.answer(client)
        await first.until(b"id: ")
        emit("a", result=0)
        await asyncio.sleep(0.01)
        heard: list[int] = []

        async def overtake() -> None:
            async for n in client.stream():
                heard.append(n)
                if n == 5:
                    return

        later = asyncio.create_task(overtake())
        await asyncio.sleep(0)
        for n in range(1, 6):
            emit("a", result=n)
            if n == 3:
                release.set()
            await asyncio.sleep(0.005)
        await asyncio.gather(earlier, later)
        assert heard == [1, 2, 3, 4, 5]
        assert b"data: 1" not in first.body
        assert client.is_connected, "the end of the response leaves its successor alone"
        client.disconnect()

    run(scenario)


@pytest.mark.parametrize("how", ["drain", "stuck"])
def test_a_handler_that_ends_another_client_in_the_middle_of_an_ending_leaves_none_behind(
    how: str, hub_with: Callable[..., Any]
) -> None:
    hub = hub_with(send_timeout_seconds=0.2)

    async def scenario() -> None:
        class Stuck(Wire):
            async def send(self, message: Any) -> None:
                if b"data: " in message.get("body", b"") and how == "stuck":
                    await asyncio.sleep(30)
                await super().send(message)

        clients = [Client(topics=["a"]) for _ in range(4)]
        wires = [Stuck() for _ in clients]
        tasks = [wire.answer(client) for wire, client in zip(wires, clients, strict=True)]
        for wire in wires:
            await wire.until(b"id: ")

        def end_all(sender: Any, action: str, client: Client, **kwargs: Any) -> None:
            if action == "disconnect":
                for other in clients:
                    other.disconnect()

        client_event.connect(end_all)
        try:
            emit("a", result=1)
            await asyncio.sleep(0)
            if how == "drain":
                hub.drain_soon()
            await asyncio.wait_for(asyncio.gather(*tasks), 5)
        finally:
            client_event.disconnect(end_all)
        assert hub.statistics().clients == 0

    run(scenario)
