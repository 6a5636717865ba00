"""Emitting and listening from any thread, from several loops, and across a fork."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nitro import Client, active_clients, client_event, emit
from nitro.delivery.hub import Hub
from nitro.delivery.process import get_hub
from nitro.errors import NotConnected, Overloaded
from nitro.messages.message import Message

pytestmark = pytest.mark.usefixtures("hub")


async def take(client: Client, count: int) -> list[Any]:
    got = []
    async for data in client.stream():
        got.append(data)
        if len(got) == count:
            break
    return got


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_threads_that_emit_at_once_lose_nothing_and_keep_their_order() -> None:
    async def scenario() -> list[Any]:
        with Client(topics=["a"]) as client:

            def work(number: int) -> None:
                for n in range(300):
                    emit("a", result=[number, n])

            threads = [in_thread(lambda number=number: work(number)) for number in range(8)]  # type: ignore[misc]
            got = await asyncio.wait_for(take(client, 2400), 30)
            for thread in threads:
                thread.join()
            return got

    got = asyncio.run(scenario())
    for number in range(8):
        assert [n for sender, n in got if sender == number] == list(range(300))


def test_all_clients_hear_one_order() -> None:
    async def scenario() -> list[list[Any]]:
        with Client(topics=["a"]) as first, Client(topics=["*"]) as second:
            threads = [
                in_thread(lambda number=number: [emit("a", result=[number, n]) for n in range(200)])  # type: ignore[misc]
                for number in range(4)
            ]
            got = [await asyncio.wait_for(take(client, 800), 30) for client in (first, second)]
            for thread in threads:
                thread.join()
            return got

    first, second = asyncio.run(scenario())
    assert first == second


def test_each_of_several_loops_hears_its_own_clients_messages() -> None:
    ready = threading.Barrier(4)
    heard: dict[int, list[Any]] = {}

    def listen(number: int) -> None:
        async def scenario() -> None:
            with Client(topics=["a"]) as client:
                await asyncio.to_thread(ready.wait, 10)
                heard[number] = await asyncio.wait_for(take(client, 100), 30)

        asyncio.run(scenario())

    threads = [in_thread(lambda number=number: listen(number)) for number in range(3)]  # type: ignore[misc]
    ready.wait(10)
    for n in range(100):
        emit("a", result=n)
    for thread in threads:
        thread.join()
    assert heard == {number: list(range(100)) for number in range(3)}


def test_loops_one_after_another_leave_nothing_of_each_other(hub: Hub) -> None:
    async def scenario(n: int) -> Any:
        with Client(topics=["a"]) as client:
            emit("a", result=n)
            return await anext(client.stream())

    assert [asyncio.run(scenario(n)) for n in range(5)] == list(range(5))
    assert hub._lanes == {}


def test_a_loop_that_was_closed_under_its_clients_is_forgotten_at_the_next_emit(hub: Hub) -> None:
    async def scenario() -> Client:
        return Client(topics=["a"]).connect()

    client = asyncio.run(scenario())
    emit("a", result=1)
    assert not client.is_connected
    assert len(active_clients) == 0
    assert hub._lanes == {}


def test_a_client_connected_without_a_loop_is_read_in_one_with_nothing_lost(hub: Hub) -> None:
    client = Client(topics=["a"]).connect()
    emit("a", result=1)
    client.send(2)

    async def scenario() -> list[Any]:
        emit("a", result=3)
        reading = asyncio.create_task(take(client, 5))
        await asyncio.sleep(0)
        emit("a", result=4)
        await asyncio.to_thread(emit, "a", result=5)
        got = await asyncio.wait_for(reading, 5)
        client.disconnect()
        return got

    assert asyncio.run(scenario()) == [1, 2, 3, 4, 5]
    assert hub._lanes == {}


def test_reading_on_another_loop_than_connected_is_an_error_with_a_remedy() -> None:
    async def connect() -> Client:
        return Client(topics=["a"]).connect()

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(connect())
    with pytest.raises(NotConnected, match="another event loop"):
        asyncio.run(take(client, 1))
    client.disconnect()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_thread_may_change_and_end_a_client_of_a_loop() -> None:
    async def scenario() -> list[Any]:
        client = Client(topics=["a"]).connect()

        def work() -> None:
            emit("b", result="not yet")
            client.subscribe("b")
            emit("b", result=1)
            client.send(2)
            client.mute("b")
            emit("b", result="muted")
            emit("a", result=3)

        await asyncio.to_thread(work)
        got = await asyncio.wait_for(take(client, 3), 5)
        reading = asyncio.create_task(take(client, 1))
        await asyncio.sleep(0)
        await asyncio.to_thread(client.disconnect)
        assert await asyncio.wait_for(reading, 1) == []
        return got

    assert asyncio.run(scenario()) == [1, 2, 3]


def test_clients_come_and_go_while_threads_emit_without_holes_or_doubles() -> None:
    stop = threading.Event()

    def work() -> None:
        n = 0
        while not stop.is_set():
            emit("a", result=n)
            n += 1
            stop.wait(0.0002)

    async def listen() -> None:
        for _ in range(20):
            with Client(topics=["*"]) as client:
                got = await asyncio.wait_for(take(client, 20), 10)
                assert got == list(range(got[0], got[0] + 20))
                client.subscribe("a").unsubscribe("*")
                after = await asyncio.wait_for(take(client, 20), 10)
                assert after == list(range(got[-1] + 1, got[-1] + 21))

    async def scenario() -> None:
        await asyncio.gather(*(listen() for _ in range(10)))

    emitter = in_thread(work)
    try:
        asyncio.run(scenario())
    finally:
        stop.set()
        emitter.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_anew_and_both_sides_work() -> None:
    async def listen(expected: str) -> bool:
        with Client(topics=["a"]) as client:
            emit("a", result=expected)
            return bool(await asyncio.wait_for(anext(client.stream()), 5) == expected)

    parent = Client(topics=["a"]).connect()
    epoch = get_hub().broker.head.epoch
    child = os.fork()
    if child == 0:
        inherited = not parent.is_connected and parent.connect().disconnect() is parent
        fine = (
            inherited
            and len(active_clients) == 0
            and get_hub().broker.head.epoch != epoch
            and asyncio.run(listen("child"))
        )
        os._exit(0 if fine else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert asyncio.run(listen("parent"))
    assert parent.is_connected
    parent.disconnect()


def test_a_client_adopted_as_the_last_of_its_loop_leaves_hears_on() -> None:
    async def scenario() -> Any:
        last = Client(topics=["a"]).connect()
        adopted = await asyncio.to_thread(Client(topics=["a"]).connect)
        thread = in_thread(last.disconnect)
        thread.join()  # its leaving waits in the loop's inbox, in front of the adoption
        reading = asyncio.create_task(anext(adopted.stream()))
        await asyncio.sleep(0)
        emit("a", result=1)
        got = await asyncio.wait_for(reading, 2)
        adopted.disconnect()
        return got

    assert asyncio.run(scenario()) == 1


def test_a_client_that_changes_while_it_waits_is_woken_by_what_came_before(hub: Hub) -> None:
    async def scenario() -> Any:
        client = Client(topics=["a"]).connect()
        reading = asyncio.create_task(anext(client.stream()))
        await asyncio.sleep(0)

        def work() -> None:
            with hub._lock:  # both in one tick
                emit("a", result=1)
                client.subscribe("b")

        await asyncio.to_thread(work)
        got = await asyncio.wait_for(reading, 2)
        client.disconnect()
        return got

    assert asyncio.run(scenario()) == 1


def test_a_loop_closed_with_work_left_does_not_hold_up_the_emitters(hub: Hub) -> None:
    async def connect() -> Client:
        client = Client(topics=["a"]).connect()
        emit("a", result=1)  # its tick never comes
        return client

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(connect())
    loop.close()
    emit("a", result=2)
    assert not client.is_connected
    assert hub._lanes == {}


def test_a_loop_that_has_stopped_with_clients_is_told_and_holds_up_nobody_when_they_have_gone(
    hub_with: Callable[..., Hub],
) -> None:
    hub = hub_with(max_pending_bytes=100_000)
    loop = asyncio.new_event_loop()

    async def read() -> list[Any]:
        return [item async for item in client.stream()]

    async def begin() -> asyncio.Task[list[Any]]:
        client.connect()
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        return reading

    client = Client(topics=["a"])
    reading = loop.run_until_complete(begin())
    with pytest.raises(Overloaded, match="has clients and isn't running; let it run on, disconnect them, or close it"):
        for _ in range(1000):
            emit("a", result="x")
    client.disconnect()
    for _ in range(1000):
        emit("a", result="x")
    assert hub._lanes == {}
    assert (hub.statistics().clients, hub.statistics().disconnects) == (0, {"closed": 1})
    assert loop.run_until_complete(asyncio.wait_for(reading, 5)) == []
    loop.close()


def test_a_loop_that_is_closed_while_too_much_waits_for_it_holds_up_nobody(hub_with: Callable[..., Hub]) -> None:
    hub = hub_with(max_pending_bytes=100_000)
    loop = asyncio.new_event_loop()

    async def connect() -> Client:
        return Client(topics=["a"]).connect()

    client = loop.run_until_complete(connect())
    with pytest.raises(Overloaded, match="or close it"):
        for _ in range(1000):
            emit("a", result="x" * 1000)
    loop.close()
    emit("a", result="x")
    assert (hub._lanes, client.is_connected) == ({}, False)


def test_a_client_that_changes_and_goes_in_a_thread_takes_nothing_from_the_others() -> None:
    async def scenario() -> list[Any]:
        with Client(topics=["a"]) as other:
            client = Client(topics=["a.*"], muted_topics=["x"]).connect()

            def work() -> None:
                client.mute("x")  # changes nothing
                client.disconnect()
                for n in range(10):
                    emit("a", result=n)

            await asyncio.to_thread(work)
            return await asyncio.wait_for(take(other, 10), 5)

    assert asyncio.run(scenario()) == list(range(10))


def test_a_signal_handler_may_emit_in_the_middle_of_an_emit() -> None:
    client = Client(topics=["a"]).connect()

    def emit_too(signum: int, frame: Any) -> None:
        emit("a", result="signal")

    before = signal.signal(signal.SIGALRM, emit_too)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    sequences: list[int] = []
    try:
        for n in range(20_000):
            emit("a", result=n)
            assert client._membership.outbox is not None
            while (message := client._membership.outbox.take_message()) is not None:
                assert isinstance(message, Message)
                assert message.position is not None
                sequences.append(message.position.sequence)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        client.disconnect()
    assert len(sequences) > 20_000
    assert sequences == list(range(1, len(sequences) + 1))


def test_an_older_connection_that_is_lost_does_not_end_the_newer() -> None:
    client = Client(topics=["a"])

    async def connect() -> None:
        client.connect()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(connect())
    client.disconnect().connect()
    loop.close()
    emit("a", result=1)
    assert client.is_connected
    client.disconnect()


def test_clients_that_come_and_go_in_threads_hear_what_is_emitted_while_they_are_there() -> None:
    failures: list[int] = []

    def work(number: int) -> None:
        for _ in range(400):
            client = Client(topics=[f"t.{number}"]).connect()
            emit(f"t.{number}", result=number)
            assert client._membership.outbox is not None
            if client._membership.outbox.take_message() is None:
                failures.append(number)
            client.disconnect()

    threads = [in_thread(lambda number=number: work(number)) for number in range(6)]  # type: ignore[misc]
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_log_handler_that_emits_lets_no_application_code_run_under_a_lock(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    class Emits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            emit("log.line", result="a client is slow")

    def seen(sender: object, action: str, client: Client, **kwargs: object) -> None:
        if action == "disconnect":
            other = threading.Thread(target=lambda: emit("other.thread", result=1))
            other.start()
            other.join(5)
            ended.append(not other.is_alive())

    handler = Emits()
    monkeypatch.setattr(logging.getLogger("nitro.delivery"), "handlers", [handler])
    client_event.connect(seen)
    try:
        clients = [Client(topics=["a.*"], max_messages=1).connect() for _ in range(3)]
        for number in range(4):
            emit("a.b", result=number)
    finally:
        client_event.disconnect(seen)
    assert [client.is_connected for client in clients] == [False] * 3
    assert ended == [True] * 3
