"""nitro-starlette: as `with_nitro.py`, on plain Starlette, like most peers. It shows what FastAPI adds."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import nitro
from peers.with_nitro import fire_events


async def events(_: Request) -> nitro.EventSourceResponse:
    return nitro.EventSourceResponse(nitro.Client(topics=["bench.*"]))


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


app = Starlette(routes=[Route("/events", events), Route("/fire", fire_events), Route("/plain", plain)])
