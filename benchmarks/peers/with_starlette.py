"""nitro-starlette: as `with_nitro.py`, on plain Starlette, like most peers. It shows what FastAPI adds."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

import nitro
from peers.pace import doors
from peers.with_nitro import emit


async def events(_: Request) -> nitro.EventSourceResponse:
    return nitro.EventSourceResponse(nitro.Client(topics=["bench.*"]))


app = Starlette(routes=[Route("/events", events), *doors(emit)])
