"""The header by which a page knows that it has heard of its own write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import nitro
from nitro.delivery.hub import Hub
from nitro.errors import ArgumentTypeError, StreamRefused
from nitro.messages.message import Position
from nitro.testing import stream
from tests.clients import take


async def write(request: Request) -> Response:
    if request.method != "GET":
        nitro.emit("written", result=await request.json())
    return Response(status_code=204)


app = Starlette(
    routes=[Route("/", write, methods=["GET", "POST", "DELETE"])], middleware=[Middleware(nitro.PositionMiddleware)]
)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_write_is_answered_with_its_position(kind: str, tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    hub_with(broker_url="memory://" if kind == "memory" else f"sqlite:///{tmp_path / 'events.db'}")
    nitro.connect_broker()

    async def scenario() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            with nitro.Client(topics=["written"]) as client:
                for method in ("POST", "DELETE"):
                    answer = await http.request(method, "/", json=method)
                    [message] = await take(client, 1)
                    assert isinstance(message, nitro.Message) and message.data == method
                    said = Position.parse(answer.headers["Nitro-Position"])
                    assert said is not None and message.position is not None
                    assert said[:2] == message.position[:2]
            assert "nitro-position" not in (await http.get("/")).headers

    asyncio.run(scenario())


def test_a_response_may_come_without_headers(hub: Hub) -> None:
    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def scenario() -> None:
        transport = httpx.ASGITransport(nitro.PositionMiddleware(bare))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            answer = await http.post("/")
            assert answer.status_code == 204 and "nitro-position" in answer.headers
        with pytest.raises(StreamRefused) as refused:
            async with stream(bare, "/events"):
                pass
        assert refused.value.status == 204

    asyncio.run(scenario())


def test_a_log_that_is_away_is_no_error(hub_with: Callable[..., Hub], tmp_path: Path) -> None:
    hub_with(broker_url=f"sqlite:///{tmp_path / 'missing' / 'events.db'}")

    async def scenario() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            answer = await http.post("/", json=1)
            assert answer.status_code == 204 and "nitro-position" not in answer.headers

    asyncio.run(scenario())


def test_methods_are_given_in_any_case(hub: Hub) -> None:
    async def scenario() -> None:
        transport = httpx.ASGITransport(nitro.PositionMiddleware(Response(), methods=["post", "Put"]))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            for method, says in (("POST", True), ("PUT", True), ("DELETE", False)):
                assert ("nitro-position" in (await http.request(method, "/")).headers) is says

    asyncio.run(scenario())


def test_one_method_is_given_in_a_list() -> None:
    with pytest.raises(ArgumentTypeError, match=r"write methods=\['POST'\]"):
        nitro.PositionMiddleware(app, methods="POST")
