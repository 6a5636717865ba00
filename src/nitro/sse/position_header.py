"""`PositionMiddleware`: tells a page which position of the log has what its request has written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nitro.delivery.position import written_position
from nitro.errors import ArgumentTypeError

__all__ = ["POSITION_HEADER", "PositionMiddleware"]

POSITION_HEADER: Final = "nitro-position"


class PositionMiddleware:
    """ASGI middleware: the response to a request that writes has the header `Nitro-Position`.

    It is the position of the log, once everything that this process has written and emitted is in it. So a page that
    has heard everything up to there has heard of its own write: `await todos.reached(position)` in the browser. It
    costs a question to the log for each request that writes, and none with `memory://`.

    Commit before the response begins. A dependency of FastAPI's with `yield` that commits at its end is too late,
    unless it is declared with `scope="function"`. If the log doesn't answer within a second, there is no header.

    A page of another origin reads the header only if CORS exposes it:
    `CORSMiddleware(…, expose_headers=["Nitro-Position"])`. That list takes the place of the one that `DurableStreams`
    sends, so beside such streams it names their headers, too: `docs/how-to/durable-streams.md` has all of them.

    Args:
        app: the application; `app.add_middleware(nitro.PositionMiddleware)` passes it.
        methods: those of requests that write, in any case.

    Raises:
        ArgumentTypeError: `methods` is a string.
    """

    def __init__(self, app: ASGIApp, *, methods: Collection[str] = ("POST", "PUT", "PATCH", "DELETE")) -> None:
        if isinstance(methods, str):
            raise ArgumentTypeError(f"methods takes a list of methods: write methods=[{methods!r}]")
        self._app = app
        self._methods = frozenset(method.upper() for method in methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in self._methods:
            await self._app(scope, receive, send)
            return

        async def send_with_position(message: Message) -> None:
            if message["type"] == "http.response.start" and (position := await written_position()) is not None:
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[POSITION_HEADER] = position
            await send(message)

        await self._app(scope, receive, send_with_position)
