"""`nitro.inspector`: the page, its streams and what can be done on it, as an ASGI application to mount."""

from __future__ import annotations

import logging
import re
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from nitro.clients.disconnect_user import disconnect_user
from nitro.delivery.process import get_hub
from nitro.errors import ConfigurationError, InvalidPayload, InvalidTopic, NitroError, PayloadTooLarge, TopicTypeError
from nitro.events.emitting import emit_async
from nitro.inspection.events import send_refusal, send_reports, send_tail
from nitro.inspection.gate import Authenticate, Gate
from nitro.inspection.process import get_inspection
from nitro.inspection.view import View
from nitro.messages.topics import check_pattern
from nitro.sse.problem import Problem

__all__ = ["Inspector", "inspector"]

log: Final = logging.getLogger("nitro.inspection")

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_FILES: Final = {path.name: path for path in (Path(__file__).parent / "page").iterdir() if path.suffix in _TYPES}
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_VIEWER: Final = re.compile(r"[\w-]{8,32}", re.ASCII)
_LONGEST_BODY: Final = 64 * 1024


class Inspector:
    """See `inspector`, which makes one."""

    def __init__(self, authenticate: Authenticate | None, *, payloads: bool, actions: bool) -> None:
        self._gate = Gate(authenticate)
        self._payloads = payloads
        self._actions = actions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            raise ConfigurationError(f"the inspector answers HTTP, and was called for {scope['type']!r}; mount it")
        request = Request(scope, receive)
        path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        try:
            refusal = await self._gate.check(request)
            if refusal is not None:
                await refusal(scope, receive, send)
            elif request.method == "GET" and path == "events":
                await self._send_reports(request, scope, receive, send)
            elif request.method == "GET" and path == "tail":
                await self._send_tail(request, scope, receive, send)
            else:
                await (await self._answer(request, path))(scope, receive, send)
        except NitroError as error:
            await Problem(error)(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response:
        if request.method in ("GET", "HEAD"):
            return self._file(request, path)
        if request.method != "POST" or path not in ("view", "disconnect", "emit"):
            return Problem(NitroError("there is no such thing here"), 404)
        wanted = await _body(request)
        if path == "view":
            viewer, view = str(wanted.pop("viewer", "")), _view(wanted)
            if _VIEWER.fullmatch(viewer) and get_inspection().show(viewer, view):
                return Response(status_code=204)
            return Problem(NitroError("this page doesn't look here any more; wait for the next hello"), 409)
        if not self._actions:
            return Problem(NitroError("this inspector only shows; mount it with actions=True"), 403)
        log.info("%s by a page of the inspector: %.200r", path, wanted)
        return JSONResponse({"done": await (_disconnect(wanted) if path == "disconnect" else _emit(wanted))})

    def _file(self, request: Request, path: str) -> Response:
        found = _FILES.get(path or "index.html")
        if found is None:
            return Problem(NitroError("there is no such thing here"), 404)
        if not path and not request.scope["path"].endswith("/"):  # what the page names is beside it
            return RedirectResponse(request.url.replace(path=request.url.path + "/"))
        return FileResponse(found, media_type=_TYPES[found.suffix], headers=_HEADERS)

    async def _send_reports(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        hello = {"payloads": self._payloads, "actions": self._actions, "version": version("nitro-realtime")}
        await send_reports(scope, receive, send, partial(self._may_go_on, request), get_inspection(), hello)

    async def _send_tail(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        may_go_on = partial(self._may_go_on, request)
        try:
            pattern = check_pattern(request.query_params.get("pattern", ""))
        except (InvalidTopic, TopicTypeError) as error:  # an EventSource reads no other answer
            await send_refusal(scope, receive, send, str(error))
        else:
            await send_tail(scope, receive, send, may_go_on, get_hub(), pattern, shows_payloads=self._payloads)

    async def _may_go_on(self, request: Request) -> bool:
        """Whether the request would be let in now; the page then asks again, and is told why not."""
        try:
            return await self._gate.check(request) is None
        except (NitroError, HTTPException):
            return False

    def __repr__(self) -> str:
        return f"<Inspector behind {self._gate!r}>"


def inspector(authenticate: Authenticate | None = None, *, payloads: bool = False, actions: bool = True) -> Inspector:
    """One page that shows, live, what all workers do: `app.mount("/nitro-inspector", nitro.inspector(…))`.

    Clients with their topics, rights and what waits for them; topics with their rates; the log and the broker; gaps,
    drops and refusals as they happen; and what is emitted. While nobody looks it costs nothing, and it opens no client.

    Args:
        authenticate: who may see it: `authenticate(request)`, a function or a coroutine function, which returns
            something true if the request may, and None or False if it may not. It may also return a `Response`, such
            as a redirect to a login, or raise an `HTTPException`. Without it, only requests from this machine to
            `localhost` are answered, and only under a server that was started with `--reload`.
        payloads: whether the tail shows what events hold, and not only how long it is.
        actions: whether clients can be disconnected and events emitted on the page.

    Raises:
        ConfigurationError: `authenticate` is no function.
    """
    return Inspector(authenticate, payloads=payloads, actions=actions)


async def _body(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            raise PayloadTooLarge(f"more than {_LONGEST_BODY} bytes")
    try:
        fields = from_json(bytes(body))
    except ValueError as error:
        raise InvalidPayload(f"the request holds no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidPayload("the request is no JSON object")
    return fields


def _view(fields: dict[str, Any]) -> View:
    names = {"from": "first", "count": "length"}
    window = {name: fields.pop(asked) for asked, name in names.items() if asked in fields}
    return View.parse({**fields, "window": window})


async def _disconnect(wanted: dict[str, Any]) -> str:
    user, key = wanted.get("user"), wanted.get("client")
    stop = wanted.get("stop") is True
    if isinstance(user, str) and user:
        disconnect_user(user, stop=stop)
        return f"All clients of {user!r} are ended, in every process."
    if not isinstance(key, str):
        raise InvalidPayload('name a "client" by its key, or a "user"')
    if get_inspection().disconnect(key, stop=stop):
        return "The client is ended."
    if get_hub().broker.is_shared:
        return "The client's process was told to end it."
    return "The client is gone already."


async def _emit(wanted: dict[str, Any]) -> str:
    topic, payload = wanted.get("topic"), wanted.get("payload")
    if payload is None:
        raise InvalidPayload("an event without a result isn't sent to clients; give a payload that is not null")
    await emit_async(topic, result=payload)  # type: ignore[arg-type]  # which checks it
    return f"{topic} is emitted."
