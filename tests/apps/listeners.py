"""The application of `streams.py` in a process that listens elsewhere, too: for metrics, say."""

from __future__ import annotations

import asyncio
import socket

from tests.apps.streams import app

another = socket.create_server(("127.0.0.1", 0))


@app.post("/close-another")
async def close_another() -> str:
    another.close()
    await asyncio.sleep(0.6)  # longer than the time between two looks
    return "closed"
