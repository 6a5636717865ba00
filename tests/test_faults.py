"""Faults that a server meets: stopped readers, clocks that jump, threads at the wrong time, requests that are odd."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from nitro import Client, Message, active_clients, emit
from nitro.delivery.hub import Hub
from nitro.errors import NitroError
from nitro.testing.conformance import eventually
from nitro.testing.oracle import Listener, Sent, check
from tests.servers import Server
from tests.specification.hearing import until
from tests.sse import Stream

APP = "tests.apps.streams:app"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, options=("--no-access-log",)) as server:
        yield server


@pytest.mark.alone
def test_a_stopped_process_is_ended_at_its_limit_and_the_others_hear_in_time(server: Server) -> None:
    """`kill -STOP` on a real curl: its kernel buffers fill, then the server's, then its limit is reached."""
    curl = shutil.which("curl")
    assert curl is not None, "this test needs curl"
    stopped = subprocess.Popen([curl, "-sN", f"{server.url}/events"], stdout=subprocess.PIPE)
    try:
        assert stopped.stdout is not None
        stopped.stdout.read(2)
        stopped.send_signal(signal.SIGSTOP)
        with Stream(server.port, "/events") as other:
            other.read_until(b"id: ")
            waits = []
            for n in range(160):
                began = time.monotonic()
                server.post(f"/emit?count=1&start={n}&pad=100000")
                other.read_until(f'"n":{n},'.encode())
                waits.append(time.monotonic() - began)
                other.body = other.body[-10:]
            waits.sort()
            assert waits[-3] < 0.2, "a stopped reader held up another one"
            deadline = time.monotonic() + 5
            while server.get("/left").json()["clients"] > 1:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        stopped.kill()
        stopped.wait()
        assert stopped.stdout is not None
        stopped.stdout.close()


@pytest.mark.alone
@pytest.mark.parametrize(
    "request_text",
    [
        "GET /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "GET /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["a body", "a chunked body"],
)
def test_odd_requests_get_the_stream_and_leave_nothing_when_they_go(server: Server, request_text: str) -> None:
    with Stream(server.port, "/left") as stream:  # its own request, answered
        stream.read_head()
        stream.forget()
        stream.socket.sendall(request_text.encode())
        stream.read_until(b"id: ")
        server.post("/emit?count=1&start=41")
        stream.read_until(b'"n":41')
    deadline = time.monotonic() + 1.5
    while server.get("/left").json()["clients"]:
        assert time.monotonic() < deadline, "a client that went was not noticed within a second"
        time.sleep(0.05)


def test_pipelined_requests_get_the_first_stream_and_are_let_go_at_the_next_write(server: Server) -> None:
    """uvicorn stops reading while a second request waits, so it hears of the end only when it writes."""
    request = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
    with Stream(server.port, "/events", "\r\n" + request.removesuffix("\r\n")) as stream:
        stream.read_until(b"id: ")
        server.post("/emit?count=1&start=42")
        stream.read_until(b'"n":42')
    deadline = time.monotonic() + 5
    while server.get("/left").json()["clients"]:
        server.post("/emit")
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.alone
def test_a_client_that_closes_its_sending_side_is_let_go(server: Server) -> None:
    with Stream(server.port, "/events") as stream:
        stream.read_until(b"id: ")
        stream.socket.shutdown(1)
        deadline = time.monotonic() + 1.5
        while server.get("/left").json()["clients"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.timed
@pytest.mark.skipif(not FAKETIME.exists(), reason="LOUD: no libfaketime, so no clock jumps; apt install faketime")
def test_a_wall_clock_that_jumps_an_hour_changes_nothing(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NITRO_HISTORY_SECONDS": "600",
        "NITRO_HEARTBEAT_SECONDS": "0.2",
    }
    with Server(APP, environment=environment) as server, Stream(server.port, "/events") as stream:
        stream.read_until(b"id: ")
        for n, jump in enumerate(["+0", "+3600s", "-3600s", "+86400s"]):
            clock.write_text(jump)
            server.post(f"/emit?count=1&start={n}")
            stream.read_until(f'"n":{n},'.encode())
            ids = [int(line.rsplit(b"-", 1)[1]) for line in stream.body.split(b"\n") if line.startswith(b"id: ")]
            assert ids == sorted(ids)
        first = stream.body.split(b"id: ")[1].split(b"\n")[0].decode()
        with Stream(server.port, "/events", f"Last-Event-ID: {first}\r\n") as again:
            assert [event["n"] for event in again.events(4)] == [0, 1, 2, 3]
            again.body = b""
            again.read_until(b":\n", seconds=2)  # a heartbeat


@pytest.mark.alone
def test_sixty_four_threads_emit_before_during_and_after_the_life_of_a_loop(hub: Hub) -> None:
    sent: list[Sent] = []
    emitted = {f"t{n}": 0 for n in range(64)}  # by thread, the number of the newest
    heard = dict(emitted)
    stop = threading.Event()
    refused: list[NitroError] = []
    listener = Listener("client")

    def work(name: str) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            message = Sent(name, n)
            try:
                emit("a", name, result=[name, n])
            except NitroError as error:
                refused.append(error)
                continue
            sent.append(message)
            emitted[name] = n
            time.sleep(0.002)

    threads = [threading.Thread(target=work, args=(name,)) for name in emitted]
    for thread in threads:
        thread.start()

    async def life() -> None:
        with Client(topics=["a"], max_messages=100_000) as client:
            reading = asyncio.create_task(_listen(client, listener, heard))
            await asyncio.sleep(0)
            listener.since, before = time.monotonic(), dict(emitted)
            await until(lambda: all(heard[name] > before[name] + 30 for name in emitted), 20)
            listener.until, before = time.monotonic(), dict(emitted)
            await until(lambda: all(heard[name] > before[name] for name in emitted), 20)
            client.disconnect()
            await reading

    eventually(lambda: all(emitted.values()), "all emit before")
    asyncio.run(life())
    lived = dict(emitted)
    eventually(lambda: all(emitted[name] > lived[name] + 1 for name in emitted), "and after")
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "an emit hangs"
    assert refused == []
    verdict = check(sent, [listener])
    assert verdict.is_clean, str(verdict)
    assert verdict.messages > 1_000, "enough came to say so"
    assert hub.statistics().clients == 0


async def _listen(client: Client, listener: Listener, heard: dict[str, int]) -> None:
    async for message in client.messages():
        assert isinstance(message, Message)
        listener.heard(message.id or "", *message.data)
        name, heard[name] = message.data


@pytest.mark.usefixtures("hub")
def test_a_generator_that_is_forgotten_in_the_middle_leaves_a_client_that_can_be_read_again() -> None:
    async def scenario() -> None:
        client = Client(topics=["a"]).connect()
        emit("a", result=1)
        stream = client.stream()
        assert await anext(stream) == 1
        del stream
        gc.collect()
        await asyncio.sleep(0)
        emit("a", result=2)
        assert await anext(client.stream()) == 2
        other = client.stream()
        await asyncio.create_task(_close(other))
        client.disconnect()
        assert len(active_clients) == 0

    asyncio.run(asyncio.wait_for(scenario(), 10))


async def _close(stream: object) -> None:
    await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.browser
def test_a_server_killed_in_the_middle_of_fifty_events_a_second_costs_one_gap(page: Page) -> None:
    environment = {"NITRO_RETRY_MILLISECONDS": "100"}
    stop = threading.Event()
    acknowledged: list[int] = []
    with Server(APP, environment=environment) as server:
        server.open_in(page)

        def emit_on() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                with contextlib.suppress(httpx.TransportError):  # the server is away
                    server.post(f"/emit?count=1&start={n}")
                    acknowledged.append(n)
                time.sleep(0.02)

        emitter = threading.Thread(target=emit_on)
        emitter.start()
        page.wait_for_function("heard.length >= 50")
        server.end(signal.SIGKILL)
    with Server(APP, environment=environment, port=server.port):
        page.wait_for_function("gaps.length === 1", timeout=20_000)
        heard = page.evaluate("heard.length")
        page.wait_for_function(f"heard.length >= {heard + 50}")
        stop.set()
        emitter.join()
        page.wait_for_function(f"heard[heard.length - 1] === {acknowledged[-1]}")
        numbers, gaps = page.evaluate("heard"), page.evaluate("gaps")
        assert gaps == ["epoch"]
        assert numbers == sorted(set(numbers))
        behind = numbers[heard:]
        assert behind == [n for n in acknowledged if n >= behind[0]], "something behind the gap is missing"
        page.goto("about:blank")
