"""`nitro.testing.stream`: what a test of an application sees of a stream, over cuts, gaps and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nitro import Client, EventSourceResponse, Grant, active_clients, disconnect_user, emit, runs, shutdown
from nitro.errors import ConfigurationError, InvalidTopic, NitroWarning, StreamRefused
from nitro.fastapi import EventStream
from nitro.testing import stream
from nitro.testing.streaming import StreamUnderTest

pytestmark = pytest.mark.usefixtures("hub")
app = FastAPI()


@app.get("/runs/{id}")
async def follow(id: str) -> Response:
    return await runs.stream(id)


def may_hear(request: Request) -> Grant | None:
    user = request.headers.get("x-user")
    return Grant(["todo.*", f"user.{user}.*"], user_id=user) if user else None


@app.get("/events")
async def events(stream: Annotated[Response, Depends(EventStream(may_hear))]) -> Response:
    return stream


@app.get("/open")
async def everything() -> Response:
    return EventSourceResponse(Client(topics=["*"], max_messages=10, overflow="drop_oldest"))


@app.get("/broken")
async def broken() -> Response:
    raise ZeroDivisionError


def failing(error: Exception) -> ASGIApp:
    """A stream in which the application raises, behind one message."""
    text = b'data: nitro.stream\ndata: {"heartbeat":15}\n\nid: x-1\ndata: a\ndata: 1\n\n'

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text, "more_body": True})
        raise error

    return fail


@app.get("/rooms/{room:path}/events")
async def what_was_asked(request: Request, room: str, topic: str) -> Response:
    hosts = request.headers.getlist("host")
    raise HTTPException(400, f"{hosts}, {room}, {topic}, {request.scope['raw_path'].decode()}")


@app.get("/never")
async def never() -> None:
    await asyncio.Event().wait()


@app.get("/endless")
async def endless(kind: str) -> Response:
    async def text() -> AsyncIterator[str]:
        yield ":\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(text(), media_type=kind)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


ANN = {"X-User": "ann"}


def test_messages_are_heard_in_order_with_topic_id_and_data() -> None:
    async def scenario() -> None:
        async with stream(app, "/events", topics=["todo.*"], headers=ANN) as page:
            emit("todo.created", "me", result={"id": 1})
            emit("other", "me", result=0)
            emit("todo.renamed", "me", result={"id": 2})
            one = await page.next()
            assert (one.topic, one.data) == ("todo.created", {"id": 1})
            assert one.id is not None
            emit("todo.deleted", "me", result={"id": 3})
            assert (await page.next("todo.deleted")).data == {"id": 3}, "another one is skipped"
        assert len(active_clients) == 0

    run(scenario())


def test_what_does_not_come_is_told_with_what_came() -> None:
    async def scenario() -> None:
        async with stream(app, "/open") as page:
            emit("todo.created", "me", result=1)
            with pytest.raises(AssertionError, match=r"nothing like it within 0.2 s; there came 'todo.created'"):
                await page.next("todo.deleted", within_seconds=0.2)
            with pytest.raises(AssertionError, match="nothing else came either"):
                await page.next(within_seconds=0.1)

    run(scenario())


def test_a_cut_loses_nothing_and_an_id_of_no_log_is_a_gap() -> None:
    async def scenario() -> None:
        async with stream(app, "/open") as page:
            emit("a", "me", result=1)
            assert (await page.next()).data == 1
            await page._disconnect()
            emit("a", "me", result=2)
            await page.cut()
            emit("a", "me", result=3)
            assert [(await page.next()).data for _ in range(2)] == [2, 3]
            await page.cut(since="gone-7")
            assert (await page.next_gap()).reason in ("epoch", "invalid")
            emit("a", "me", result=4)
            assert (await page.next()).data == 4

    run(scenario())


def test_a_page_that_reads_slowly_gets_what_its_policy_leaves() -> None:
    async def scenario() -> None:
        async with stream(app, "/open") as page:
            page.pause()
            for n in range(100):
                emit("a", "me", result=n)
                await asyncio.sleep(0)
            page.go_on()
            with pytest.raises(AssertionError, match="a gap came: overflow"):
                for _ in range(100):
                    await page.next()
            assert (await page.next("a")).data > 80

    run(scenario())


def test_users_hear_what_is_theirs_and_refusals_are_told() -> None:
    async def scenario() -> None:
        async with (
            stream(app, "/events?topic=user.ann.*", headers=ANN) as ann,
            stream(app, "/events?topic=user.bob.*", headers={"x-user": "bob"}) as bob,
        ):
            emit("user.bob.mail", "me", result="to bob")
            emit("user.ann.mail", "me", result="to ann")
            assert ((await ann.next()).data, (await bob.next()).data) == ("to ann", "to bob")
            disconnect_user("ann", stop=True)
            with pytest.raises(StreamRefused, match="stopped this stream"):
                await ann.next()
        for headers, topics, status in (({}, "todo.*", 401), (ANN, "user.bob.*", 403)):
            with pytest.raises(StreamRefused) as refused:
                async with stream(app, "/events", topics=topics, headers=headers):
                    pass
            assert refused.value.status == status
        with pytest.raises(StreamRefused, match="Not Found"):
            async with stream(app, "/nowhere"):
                pass

    run(scenario())


def test_a_server_that_stops_ends_the_stream() -> None:
    async def scenario() -> None:
        async with stream(app, "/open") as page:
            shutdown()
            with pytest.raises(AssertionError, match="the stream has ended"):
                await page.next()

    run(scenario())


def test_a_stream_that_has_ended_is_told_to_its_end_and_then_why_it_ended() -> None:
    async def words() -> AsyncIterator[str]:
        yield "one"

    async def ended(page: StreamUnderTest) -> None:
        assert page._connection is not None
        while not page._connection.is_complete:
            await asyncio.sleep(0.001)

    async def scenario() -> None:
        started = await runs.start(words())
        path = f"/runs/{started.id}"
        async with stream(app, path) as page:
            await ended(page)
            assert [(await page.next()).data for _ in range(2)] == ["one", {"state": "done"}]
            with pytest.raises(StreamRefused) as refused:
                await page.next()
            assert refused.value.status == 204
        async with stream(app, "/open") as page:
            emit("a", "me", result=1)
            while page._connection is not None and b"data: a" not in page._connection.body:
                await asyncio.sleep(0.001)
            for client in active_clients.values():
                client.disconnect(stop=True)
            await ended(page)
            assert (await page.next()).data == 1
            with pytest.raises(StreamRefused, match="stopped this stream"):
                await page.next()
        for error in (ZeroDivisionError("its own"), TimeoutError("its own")):
            async with stream(failing(error), "/") as page:
                await ended(page)
                assert (await page.next()).data == 1
                with pytest.raises(type(error), match="its own"):
                    await page.next()

    run(scenario())


def test_what_never_becomes_a_stream_is_told_with_what_came() -> None:
    answers = {
        "/never": "no stream within 0.1 s; the endpoint has answered nothing",
        "/endless?kind=text/csv": "has answered 200, text/csv; charset=utf-8, and its body has no end",
        "/endless?kind=text/event-stream": "text/event-stream; charset=utf-8, and no greeting; it has to return Event",
    }

    async def scenario() -> None:
        for path, answer in answers.items():
            with pytest.raises(AssertionError, match=answer):
                async with stream(app, path, within_seconds=0.1):
                    pass
        async with stream(app, "/open") as page:
            page._path = "/never"
            with pytest.raises(AssertionError, match="has answered nothing"):
                await page.cut(within_seconds=0.1)
            with pytest.raises(AssertionError, match=r"cut.. could not make it again"):
                await page.next()
            with pytest.raises(AssertionError, match=r"cut.. could not make it again"):
                page.pause()

    run(scenario())


def test_the_host_can_be_chosen_and_the_path_is_decoded() -> None:
    async def scenario() -> None:
        path = "/rooms/Team%20A%2F%C3%A4/events"
        for headers, host in ((ANN, "test"), ({"Host": "example.org"}, "example.org")):
            with pytest.raises(StreamRefused) as refused:
                async with stream(app, f"{path}?topic=b%20c", headers=headers):
                    pass
            assert refused.value.reason == f"['{host}'], Team A/ä, b c, {path}"

    run(scenario())


def test_an_error_of_the_application_reaches_the_test_and_so_do_wrong_arguments() -> None:
    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            async with stream(app, "/broken"):
                pass
        with pytest.raises(ConfigurationError, match="begins with a slash"):
            async with stream(app, "events"):
                pass
        with pytest.raises(InvalidTopic):
            async with stream(app, "/events", topics="a b"):
                pass

    run(scenario())


def test_a_run_that_is_cut_goes_on_behind_its_last_item() -> None:
    async def words() -> AsyncIterator[str]:
        for word in ("one", "two", "three"):
            await asyncio.sleep(0.01)
            yield word

    async def scenario() -> None:
        started = await runs.start(words())
        async with stream(app, f"/runs/{started.id}") as page:
            first = await page.next()
            assert first.data == "one" and first.id is not None
            await page.cut()
            assert [(await page.next()).data for _ in range(3)] == ["two", "three", {"state": "done"}]

    run(scenario())


@pytest.mark.server  # it looks for its listener in the file system, once
def test_what_collects_a_response_until_its_end_is_told_that_there_is_none() -> None:
    async def scenario() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
            asking = asyncio.ensure_future(http.get("/open"))
            while not active_clients:
                await asyncio.sleep(0.001)
            for client in active_clients.values():
                client.disconnect()
            assert (await asking).status_code == 200

    with pytest.warns(NitroWarning, match=r"TestClient and httpx.ASGITransport wait .* nitro.testing.stream"):
        run(scenario())


@pytest.mark.server  # the same
def test_a_run_has_an_end_and_may_be_collected() -> None:
    async def words() -> AsyncIterator[str]:
        yield "one"

    async def scenario() -> None:
        started = await runs.start(words())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
            answer = await http.get(f"/runs/{started.id}")
        assert 'data: "one"' in answer.text and 'event: end\ndata: {"state":"done"}' in answer.text

    run(scenario())
