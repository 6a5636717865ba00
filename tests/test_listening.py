"""`nitro.listen` against real servers, by `for` and by `async for`: order, resume, gaps, refusals, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

import nitro
from nitro.client import Heard, Listener
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidTopic, StreamRefused
from nitro.messages.message import Gap
from nitro.testing.conformance import eventually
from tests.answering import answering
from tests.ears import WAYS, Ear
from tests.servers import Server, free_port

APP = "tests.apps.listening:app"
QUICK = {"NITRO_HEARTBEAT_SECONDS": "0.4", "NITRO_RETRY_MILLISECONDS": "50"}
both_ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, environment=QUICK) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def clients(server: Server) -> int:
    return server.get("/left").json()["clients"]  # type: ignore[no-any-return]


def seen(server: Server) -> list[dict[str, str]]:
    return server.get("/left").json()["seen"]  # type: ignore[no-any-return]


def until_clients(server: Server, count: int) -> None:
    eventually(lambda: clients(server) == count, f"there are {count} clients", 15)


def emit(server: Server, *results: Any, topic: str = "todo.changed") -> None:
    for result in results:
        server.post(f"/emit?topic={topic}", json=result).raise_for_status()


@both_ways
def test_messages_come_in_order_with_topic_data_and_id(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/events", topics=["todo.*", "chat.said"]) as ear:
        until_clients(server, 1)
        emit(server, {"n": 1})
        emit(server, "words", topic="chat.said")
        emit(server, "not asked for", topic="chat.left")
        emit(server, *range(50))
        ear.until({"n": 1}, "words", *range(50))
        first, second, *_ = ear.heard
        assert isinstance(first, Heard) and isinstance(second, Heard)
        assert (first.topic, second.topic) == ("todo.changed", "chat.said")
        assert first.id is not None and second.id is not None
        assert first.id.partition("-")[0] == second.id.partition("-")[0]
        last = ear.heard[-1]
        assert isinstance(last, Heard)
        assert ear.listener.last_event_id == last.id
    until_clients(server, 0)


@both_ways
def test_text_stays_as_it_was_sent(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/events", "todo.*", text=True) as ear:
        until_clients(server, 1)
        emit(server, {"n": 1}, "a\nb")
        ear.until('{"n":1}', r'"a\nb"')


class Removed(BaseModel):
    id: UUID


class Placed(Removed):
    total: Decimal


@both_ways
def test_it_asks_for_the_events_that_it_reads_as_and_gets_their_values(way: str, server: Server) -> None:
    events = [nitro.event("chat.placed", schema=Placed), nitro.event("chat.removed", schema=Removed)]
    with Ear(way, f"{server.url}/events", as_=events) as ear:
        until_clients(server, 1)
        order = {"id": str(UUID(int=7)), "total": "2.50"}
        emit(server, order, topic="chat.other")
        emit(server, order, topic="chat.placed")
        emit(server, {"id": "none"}, {"id": str(UUID(int=8))}, topic="chat.removed")
        ear.until(Placed(id=UUID(int=7), total=Decimal("2.50")), "schema", Removed(id=UUID(int=8)))


@both_ways
def test_what_was_sent_to_this_client_alone_has_no_topic_and_no_id(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/events") as ear:
        until_clients(server, 1)
        emit(server, 1)
        server.post("/send", json={"for": "you"})
        ear.until(1, {"for": "you"})
        assert ear.heard[1] == Heard("", {"for": "you"}, None)


@both_ways
def test_it_resumes_over_a_server_that_is_killed_and_started_anew(way: str, tmp_path: Path) -> None:
    environment = {**QUICK, "NITRO_BROKER_URL": f"sqlite:///{tmp_path}/events.db"}
    port = free_port()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Server(APP, environment=environment, port=port))
        other = stack.enter_context(Server(APP, environment=environment))
        ear = stack.enter_context(Ear(way, f"{first.url}/events"))
        until_clients(first, 1)
        emit(first, 0, 1)
        ear.until(0, 1)
        first.kill()
        emit(other, 2, 3)
        again = stack.enter_context(Server(APP, environment=environment, port=port))
        ear.until(0, 1, 2, 3)
        emit(again, 4)
        ear.until(0, 1, 2, 3, 4)


@both_ways
def test_nothing_is_missed_or_doubled_when_the_server_ends_the_stream_again_and_again(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/events") as ear:
        until_clients(server, 1)
        for n in range(0, 30, 3):
            emit(server, n, n + 1)
            server.post("/disconnect")
            emit(server, n + 2)
        ear.until(*range(30))


@both_ways
def test_it_starts_behind_the_id_that_it_was_given(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/events") as ear:
        until_clients(server, 1)
        emit(server, "a", "b", "c")
        ear.until("a", "b", "c")
        first = ear.heard[0]
    assert isinstance(first, Heard) and first.id is not None
    with Ear(way, f"{server.url}/events", last_event_id=first.id) as ear:
        ear.until("b", "c")


@both_ways
def test_what_the_log_no_longer_has_is_a_gap_in_its_place(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/events", last_event_id="another-7") as ear:
        ear.until("epoch")
        emit(server, "behind it")
        ear.until("epoch", "behind it")
        gap = ear.heard[0]
        assert isinstance(gap, Gap)
        assert str(gap.resumed_at).partition("-")[0] == ear.listener.last_event_id.partition("-")[0]


@both_ways
@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_a_refusal_is_an_error_with_status_and_the_servers_reason(way: str, status: int, server: Server) -> None:
    with Ear(way, f"{server.url}/answers/{status}") as ear:
        refused = ear.until_refused(status)
    assert refused.reason == "the reason"
    assert str(refused) == f"{status}: the reason"


@both_ways
def test_a_topic_that_may_not_be_heard_is_refused_as_the_server_says(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/events", topics=["secret.*"]) as ear:
        assert "secret.*" in ear.until_refused(403).reason


@both_ways
def test_no_content_no_stream_and_a_stream_that_is_stopped_are_final(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/answers/204") as ear:
        ear.until_refused(204)
    with Ear(way, f"{server.url}/answers/200") as ear:
        assert "EventSourceResponse" in ear.until_refused(200).reason
    with Ear(way, f"{server.url}/events") as ear:
        until_clients(server, 1)
        server.post("/disconnect?stop=true")
        ear.until_refused(204)
    until_clients(server, 0)


@both_ways
def test_a_temporary_refusal_is_asked_again_and_not_before_the_server_says(way: str, server: Server) -> None:
    before = len(seen(server))
    with Ear(way, f"{server.url}/answers/429") as ear:
        eventually(lambda: len(seen(server)) == before + 1, "it has asked", 10)
        began = time.monotonic()
        eventually(lambda: len(seen(server)) == before + 2, "it asks again", 15)
        assert time.monotonic() - began >= 0.9
        assert ear.refused is None


@both_ways
def test_headers_are_asked_for_at_each_request_and_none_are_waited_for(way: str, server: Server) -> None:
    tokens: list[dict[str, str] | None] = [{"Authorization": "Bearer ann", "X-Try": "1"}, None]
    tokens.append({"Authorization": "Bearer ann", "X-Try": "2"})
    given = iter(tokens)
    before = len(seen(server))
    with Ear(way, f"{server.url}/own", headers=lambda: next(given)) as ear:
        until_clients(server, 1)
        server.post("/disconnect")
        eventually(lambda: len(seen(server)) == before + 2, "it comes back", 15)
        until_clients(server, 1)
        emit(server, "heard")
        ear.until("heard")
    assert [each["x-try"] for each in seen(server)[before:]] == ["1", "2"]


def test_headers_may_come_from_an_asynchronous_function_in_an_event_loop_alone(server: Server) -> None:
    async def headers() -> dict[str, str]:
        await asyncio.sleep(0)
        return {"Authorization": "Bearer ann"}

    with Ear("async for", f"{server.url}/own", headers=headers) as ear:
        until_clients(server, 1)
        emit(server, 1)
        ear.until(1)
    with pytest.raises(ArgumentTypeError, match="async for"):
        next(iter(nitro.listen(f"{server.url}/own", headers=headers)))


@both_ways
def test_another_user_behind_the_same_stream_ends_it(way: str, server: Server) -> None:
    users = iter(["ann", "bob"])
    with Ear(way, f"{server.url}/own", headers=lambda: {"Authorization": f"Bearer {next(users)}"}) as ear:
        until_clients(server, 1)
        server.post("/disconnect")
        assert "another user" in ear.until_refused(419).reason


@both_ways
def test_other_rights_than_before_are_a_gap(way: str, server: Server) -> None:
    rights = iter(["chat", "html"])
    with Ear(way, f"{server.url}/rights", headers=lambda: {"Authorization": next(rights)}) as ear:
        until_clients(server, 1)
        emit(server, 1)
        ear.until(1)
        server.post("/disconnect")
        ear.until(1, "rights")


@both_ways
def test_topics_that_no_url_holds_travel_in_headers(way: str, server: Server) -> None:
    topics = [f"todo.{n:0200}" for n in range(60)]
    with Ear(way, f"{server.url}/events", topics) as ear:
        until_clients(server, 1)
        emit(server, "far", topic=topics[-1])
        ear.until("far")
        assert {"nitro-topics-1", "nitro-topics-2", "nitro-topics-3", "nitro-topics-4"} <= seen(server)[-1].keys()


def test_for_in_a_running_event_loop_is_refused_with_what_to_write() -> None:
    async def scenario() -> None:
        with nitro.listen("http://127.0.0.1:1/events") as listener:
            with pytest.raises(ConfigurationError, match="write `async for`"):
                for _ in listener:
                    pass
            listener.close()
            assert await asyncio.to_thread(list, listener) == []

    asyncio.run(scenario())


def start_run(server: Server, items: int, pause: float) -> str:
    return f"{server.url}/runs/{server.post(f'/runs?items={items}&pause={pause}').json()}"


@both_ways
def test_a_run_is_read_once_over_cuts_and_ends_the_iteration_behind_its_end(way: str, server: Server) -> None:
    with Ear(way, start_run(server, 12, 0.05)) as ear:
        for count in (3, 7):
            eventually(lambda: len(ear.heard) >= count, "some items were heard", 15)  # noqa: B023 - called here
            server.post("/disconnect")
        ear.thread.join(15)
        assert not ear.thread.is_alive()
        assert ear.refused is None
        *items, end = ear.heard
        assert [each.data for each in items if isinstance(each, Heard)] == [{"n": n} for n in range(12)]
        assert end == Heard("", {"state": "done"}, None)
        ids = [each.id for each in items if isinstance(each, Heard)]
        assert ear.listener.last_event_id == ids[-1]
        assert list(ear.listener if way == "for" else []) == []
    with Ear(way, ear.listener._asking._url, last_event_id=ids[8]) as late:
        late.until({"n": 9}, {"n": 10}, {"n": 11}, {"state": "done"})
        late.thread.join(15)
        assert late.refused is None


@both_ways
def test_a_run_that_fails_ends_the_same_way_with_its_reason(way: str, server: Server) -> None:
    with Ear(way, start_run(server, 0, 0.1)) as ear:
        ear.until({"state": "failed", "reason": "nothing to count"})
        ear.thread.join(15)
        assert ear.refused is None


@both_ways
def test_a_run_that_is_none_is_refused(way: str, server: Server) -> None:
    with Ear(way, f"{server.url}/runs/none") as ear:
        ear.until_refused(404)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def greeting(heartbeat: float) -> bytes:
    """What a stream begins with."""
    return b'data: nitro.stream\ndata: {"retry":10,"heartbeat":%a}\n\n' % heartbeat


class Silent:
    """Greets whoever asks, with heartbeats promised each 0.4 s, and says nothing more."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/events"
        self.came: list[float] = []
        self.asked: list[bytes] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                self.asked.append(connection.recv(65536))
                self.came.append(time.monotonic())
                connection.sendall(HEAD + greeting(0.4))
                self._go_on(connection)

    def _go_on(self, connection: socket.socket) -> None:
        """Say what follows the greeting."""

    def close(self) -> None:
        self._socket.close()
        for connection in self._open:
            connection.close()


class Slow(Silent):
    """A server over a slow line: a message takes twice the silence that ends a stream, and comes a bit at a time."""

    def _go_on(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client is gone
            connection.sendall(b"data: todo.changed\n")
            for n in range(8):
                time.sleep(0.25)
                connection.sendall(b"data: %d\n" % n)
            connection.sendall(b"id: 01-1\n\n")


class Named(Silent):
    """Its only message has an id with letters beyond ASCII; then it hangs up."""

    def _go_on(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client is gone
            connection.sendall("data: todo.changed\ndata: 1\nid: Käse 7\n\n".encode())
            connection.close()


@both_ways
def test_an_id_with_letters_beyond_ascii_is_given_back_in_utf_8(way: str) -> None:
    with contextlib.closing(Named()) as named, Ear(way, named.url, last_event_id="Käse 6") as ear:
        eventually(lambda: len(named.asked) >= 2, "it comes back", 15)
        assert ear.listener.last_event_id == "Käse 7"
    first, second = [[line for line in asked.split(b"\r\n") if b"Last-Event-ID" in line] for asked in named.asked[:2]]
    assert first == ["Last-Event-ID: Käse 6".encode()]
    assert second == ["Last-Event-ID: Käse 7".encode()]


@pytest.mark.slow
@both_ways
def test_a_message_may_take_its_time_as_long_as_something_comes(way: str) -> None:
    with contextlib.closing(Slow()) as slow, Ear(way, slow.url, text=True) as ear:
        ear.until("\n".join(map(str, range(8))))


@pytest.mark.slow
@both_ways
def test_a_line_on_which_no_heartbeat_comes_is_left_for_another(way: str, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(Silent()) as silent, Ear(way, silent.url):
        eventually(lambda: len(silent.came) >= 3, "it comes back twice", 15)
    first, second, third = silent.came[:3]
    assert 0.95 <= second - first <= 3
    assert 0.95 <= third - second <= 3
    told = [each.message for each in caplog.records if each.name == "nitro.client"]
    assert len(told) >= 2  # it was open in between
    assert all("nothing has come for 1 s" in each for each in told)


@both_ways
def test_heartbeats_keep_a_quiet_stream(way: str, server: Server) -> None:
    before = len(seen(server))
    with Ear(way, f"{server.url}/events") as ear:
        until_clients(server, 1)
        time.sleep(2)  # five heartbeats, and twice the silence that ends a stream
        emit(server, 1)
        ear.until(1)
    assert len(seen(server)) == before + 1


def test_who_breaks_off_closes_the_connection(server: Server) -> None:
    def soon() -> threading.Timer:
        def emit_once() -> None:
            until_clients(server, 1)
            emit(server, 1)

        emitting = threading.Timer(0, emit_once)
        emitting.start()
        return emitting

    emitting = soon()
    for message in nitro.listen(f"{server.url}/events"):
        assert isinstance(message, Heard)
        break
    emitting.join()
    until_clients(server, 0)

    async def listen() -> None:
        emitting = soon()
        async with nitro.listen(f"{server.url}/events") as listener:
            messages = aiter(listener)
            assert isinstance(await anext(messages), Heard)
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        await asyncio.to_thread(until_clients, server, 0)
        emitting.join()

    asyncio.run(listen())
    emitting = soon()
    with nitro.listen(f"{server.url}/events") as listener:
        messages = iter(listener)
        next(messages)
    emitting.join()
    until_clients(server, 0)
    assert list(listener) == []


def test_a_task_that_is_cancelled_closes_the_connection(server: Server) -> None:
    async def scenario() -> None:
        async def listen() -> None:
            async for _ in nitro.listen(f"{server.url}/events"):
                pass

        task = asyncio.create_task(listen())
        await asyncio.to_thread(until_clients, server, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until_clients, server, 0)

    asyncio.run(scenario())


async def until_done(task: asyncio.Task[list[Any]]) -> list[Any]:
    """What was heard."""
    async with asyncio.timeout(20):
        return await task


async def all_heard(listener: nitro.client.Listener) -> list[Any]:
    return [message.data async for message in listener if isinstance(message, Heard)]


def test_who_closes_it_while_its_headers_are_made_hears_nothing_more(server: Server) -> None:
    before = len(seen(server))

    async def scenario() -> None:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def headers() -> dict[str, str]:
            is_asked.set()
            await may_answer.wait()
            return {}

        listener = nitro.listen(f"{server.url}/events", headers=headers)
        task = asyncio.create_task(all_heard(listener))
        await is_asked.wait()
        await listener.aclose()
        may_answer.set()
        assert await until_done(task) == []

    asyncio.run(scenario())
    assert len(seen(server)) == before


def test_who_closes_it_in_the_moment_of_a_message_hears_nothing_more() -> None:
    """The message comes so many steps of the event loop before the closing: at one of them, both are seen together."""

    async def scenario() -> None:
        coming: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + greeting(15))
            coming.put_nowait(writer)

        async with await asyncio.start_server(serve, "127.0.0.1") as serving:
            port = serving.sockets[0].getsockname()[1]
            for steps in range(40):
                listener = nitro.listen(f"http://127.0.0.1:{port}/")
                task = asyncio.create_task(all_heard(listener))
                writer = await coming.get()
                async with asyncio.timeout(20):
                    while "Session open" not in repr(listener):
                        await asyncio.sleep(0.001)
                writer.write(b"data: todo.changed\ndata: 1\nid: 01-1\n\n: half of ano")
                for _ in range(steps):
                    await asyncio.sleep(0)
                await listener.aclose()
                was_heard = listener.last_event_id == "01-1"
                await asyncio.sleep(0)
                await listener.aclose()
                assert await until_done(task) == [1] * was_heard
                writer.close()

    asyncio.run(scenario())


def test_a_listener_that_is_iterated_again_goes_on_behind_its_last_message(server: Server) -> None:
    with Ear("for", f"{server.url}/events") as ear:
        until_clients(server, 1)
        emit(server, "a", "b", "c")
        ear.until("a", "b", "c")
        first = ear.heard[0]
    assert isinstance(first, Heard) and first.id is not None
    with nitro.listen(f"{server.url}/events", last_event_id=first.id) as listener:
        for message in listener:
            assert isinstance(message, Heard) and message.data == "b"
            break
        iteration = iter(listener)
        message = next(iteration)
        assert isinstance(message, Heard) and message.data == "c"
        with pytest.raises(ConfigurationError, match="iterated already"):
            iter(listener)


@both_ways
def test_a_server_that_is_away_is_logged_once_without_secrets(
    way: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitro.client.session._LONGEST_BACKOFF_SECONDS", 0.05)
    port = free_port()
    with (
        caplog.at_level(logging.WARNING, "nitro.client"),
        Ear(way, f"http://ann:secret@127.0.0.1:{port}/events?key=k") as ear,
    ):
        eventually(lambda: "attempt 5" in repr(ear.listener), "it has tried five times", 15)
    (record,) = [each for each in caplog.records if each.name == "nitro.client"]
    assert f"http://127.0.0.1:{port}/events can't be listened to" in record.message
    assert "secret" not in record.message


def test_bad_arguments_are_refused_where_they_are_given() -> None:
    for url in ("events", "ws://example.org/", "http://"):
        with pytest.raises(ConfigurationError, match="begins with http://"):
            nitro.listen(url)
    with pytest.raises(InvalidTopic):
        nitro.listen("http://example.org", topics=["todo**"])
    with pytest.raises(ConfigurationError, match="leave it out"):
        nitro.listen("http://example.org", topics=[])
    with pytest.raises(ArgumentTypeError, match="mapping"):
        nitro.listen("http://example.org", headers=[("a", "b")])  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="str and int, as of 'a'"):
        nitro.listen("http://example.org", headers={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(ArgumentTypeError, match="last_event_id"):
        nitro.listen("http://example.org", last_event_id=7)  # type: ignore[arg-type]
    for id in ("5ae1b1e0c3-1\n", " 5ae1b1e0c3-1", "5ae1b1e0c3\x00-1"):
        with pytest.raises(ConfigurationError, match="last_event_id can't be sent: it has"):
            nitro.listen("http://example.org", last_event_id=id)
    for url in ("http://example.org:port/", "http://a..example.org/", f"http://{'a' * 64}.org/", "http://x/\n"):
        with pytest.raises(ConfigurationError, match="can't be read"):
            nitro.listen(url)
    with pytest.raises(ConfigurationError, match="%23 for #") as raised:
        nitro.listen("http://ann:secret#1@example.org/")
    assert "secret" not in str(raised.value)


BAD_HEADERS = [
    ({"a b": "c"}, "'a b' is no name of a header"),
    ({"": "c"}, "'' is no name of a header"),
    ({"a\n": "c"}, "is no name of a header"),
    ({"Authorization": "Bearer …"}, "Authorization can't be sent: it has '…' at character 8"),
    ({"a": "secret\r\nb: c"}, r"a can't be sent: it has '\\r' at character 7"),
    ({"a": "secret "}, "begins or ends with a space"),
]


@pytest.mark.parametrize(("headers", "text"), BAD_HEADERS)
def test_a_header_that_can_not_be_sent_is_refused_also_from_a_function(headers: dict[str, str], text: str) -> None:
    async def later() -> dict[str, str]:
        return headers

    for listen in (
        lambda: nitro.listen("http://127.0.0.1:1", headers=headers),
        lambda: next(iter(nitro.listen("http://127.0.0.1:1", headers=lambda: headers))),
        lambda: asyncio.run(anext(aiter(nitro.listen("http://127.0.0.1:1", headers=later)))),
    ):
        with pytest.raises(ConfigurationError, match=text) as raised:
            listen()
        assert "secret" not in str(raised.value)


@both_ways
def test_an_id_that_can_not_be_sent_back_ends_the_iteration(way: str) -> None:
    stream = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        b'data: nitro.stream\ndata: {"heartbeat":1,"retry":1}\n\nid:  x\ndata: todo.a\ndata: 1\n\n'
    )
    with answering(lambda _: stream, ends=True) as url, pytest.raises(ConfigurationError, match="can't be asked for"):
        if way == "for":
            list(nitro.listen(url))
        else:
            asyncio.run(_all_of(nitro.listen(url)))


async def _all_of(listener: Listener) -> list[Heard | Gap]:
    return [message async for message in listener]


WITHOUT = """
import sys
sys.modules["httpx_sse"] = None
import nitro
try:
    nitro.listen("http://example.org")
except ImportError as error:
    assert "pip install 'nitro-realtime[client]'" in str(error), error
else:
    raise SystemExit("no error")
"""


def test_a_missing_package_names_the_extra() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=60)


def test_a_refusal_is_an_error_of_nitros() -> None:
    assert issubclass(StreamRefused, nitro.NitroError)
