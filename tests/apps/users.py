"""An application whose streams are for the user of a cookie or of a token, and refuse what that one may not hear.

`/mine` reads a cookie, `/auth` and `/roles` the header `Authorization`; `/events` is everybody's, and `/by-hand` reads
`?topic=` itself. `/set` says what they answer from now on, and `/refresh` gives a token for the newest ticket alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

import nitro
from nitro import Client, EventSourceResponse, Grant, active_clients, emit_async, event_stream

HTML = "<!doctype html><title>blank</title>"
NORMAL: dict[str, Any] = {"status": 200, "probe": 0, "stale": [], "role": ""}
"""`probe`: what a probe is answered, where it isn't what a stream is."""
now: dict[str, Any] = dict(NORMAL)
asked: list[dict[str, str]] = []
ticket = 0


async def blank(_: Request) -> Response:
    return HTMLResponse(HTML)


async def login(request: Request) -> Response:
    answer = RedirectResponse("/blank", 303)
    answer.set_cookie("user", request.query_params["user"], samesite="lax")
    return answer


def streams(who: Callable[[Request], str], grant: Callable[[str], Grant]) -> Callable[[Request], Any]:
    """An endpoint for whoever `who` says it is, unless `/set` says otherwise."""

    async def endpoint(request: Request) -> Response:
        user = who(request)
        query = request.query_params
        kind = "probe" if "probe" in query else "stream"
        asked.append({"kind": kind, "user": user, "last": query.get("last_event_id", "")})
        status = now["probe"] if kind == "probe" and now["probe"] else now["status"]
        if status == "html":
            return HTMLResponse(HTML)
        if status != 200:
            return Response("no", status)
        return event_stream(request, grant(user) if user and user not in now["stale"] else None)

    return endpoint


def cookie(request: Request) -> str:
    return request.cookies.get("user", "")


def token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def own(user: str) -> Grant:
    return Grant([f"user.{user}.*", "todo.*"], user_id=user)


def of_role(user: str) -> Grant:
    """Nobody's in particular."""
    return Grant([f"user.{now['role'] or user}.*", "todo.*"])


async def newest(request: Request) -> Response:
    """For the newest of the tokens that `/refresh` gave."""
    is_newest = token(request) == f"token {ticket}"
    return event_stream(request, own("alice") if is_newest else None)


async def refresh(request: Request) -> Response:
    global ticket
    if request.query_params["ticket"] != str(ticket):
        return Response("used already", 401)
    ticket += 1
    return JSONResponse(ticket)


async def by_hand(request: Request) -> Response:
    return EventSourceResponse(Client(topics=request.query_params.getlist("topic")))


async def emit_all(request: Request) -> Response:
    """What is answered is in the log."""
    for topic, data in await request.json():
        await emit_async(topic, result=data)
    return JSONResponse({"position": nitro.position()})


async def drop(_: Request) -> Response:
    for client in list(active_clients.values()):
        client.disconnect()
    return Response()


async def set_answers(request: Request) -> Response:
    now.update(await request.json())
    return Response()


async def reset(_: Request) -> Response:
    global ticket
    now.update(NORMAL)
    asked.clear()
    ticket = 0
    return Response()


async def state(_: Request) -> Response:
    return JSONResponse({"clients": len(active_clients), "asked": asked, "ended": dict(nitro.statistics().ended)})


app = Starlette(
    routes=[
        Route("/blank", blank),
        Route("/login", login),
        Route("/mine", streams(cookie, own)),
        Route("/auth", streams(token, own)),
        Route("/roles", streams(token, of_role)),
        Route("/events", streams(lambda _: "-", lambda _: Grant(["todo.*", "chat.*"]))),
        Route("/newest", newest),
        Route("/refresh", refresh, methods=["POST"]),
        Route("/by-hand", by_hand),
        Route("/emit", emit_all, methods=["POST"]),
        Route("/drop", drop, methods=["POST"]),
        Route("/set", set_answers, methods=["POST"]),
        Route("/reset", reset, methods=["POST"]),
        Route("/state", state),
        Mount("/nitro", nitro.assets),
    ]
)
