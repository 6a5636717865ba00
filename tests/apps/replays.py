"""The application of `streams.py` behind a middleware that replays a request's body, as often as TEST_REPLAYS says.

With `endless` it does so for ever, and its `receive` never waits. It holds a publisher, too, whose bodies never end.
"""

from __future__ import annotations

import itertools
import os

from starlette.types import Message, Receive, Scope, Send

from nitro import Grant
from nitro.publisher import Publisher
from tests.apps.keys import BILLING
from tests.apps.streams import app as streams

TIMES = os.environ.get("TEST_REPLAYS", "endless")
streams.mount("/publish", Publisher({BILLING: Grant(["*"], user_id="billing")}))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan" or not scope["path"].startswith(("/events", "/publish")):
        await streams(scope, receive, send)
        return
    left = itertools.count() if TIMES == "endless" else iter(range(int(TIMES)))
    is_body = scope["path"].startswith("/publish")

    async def replaying() -> Message:
        if next(left, None) is None:
            return await receive()
        return {"type": "http.request", "body": b"", "more_body": is_body}

    await streams(scope, replaying, send)
