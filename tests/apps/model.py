"""Stands for a service that speaks OpenAI's protocol: it says the question again, a word at a time.

A question that begins with "busy" is refused; one with "cut" ends in the middle; one with "slow" takes half a minute.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

app = FastAPI()
LEFT: list[str] = []
"""The questions whose askers went away before the end."""


def chunk(**delta: str) -> str:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [{'index': 0, 'delta': delta}]})}\n\n"


async def say(question: str) -> AsyncIterator[str]:
    try:
        yield chunk(role="assistant", content="")
        for word in question.split():
            yield chunk(content=f"{word} ")
            await asyncio.sleep(0.01)
            if word == "slow":
                await asyncio.sleep(30)
            if word == "cut":
                return
        yield f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': []})}\n\n"
        yield "data: [DONE]\n\n"
    except asyncio.CancelledError:
        LEFT.append(question)
        raise


@app.post("/v1/chat/completions")
async def complete(request: Request) -> StreamingResponse:
    body = await request.json()
    assert request.headers["authorization"] == "Bearer a key"
    assert body["stream"] is True
    question = body["messages"][-1]["content"]
    if question.startswith("busy"):
        raise HTTPException(503)
    return StreamingResponse(say(question), media_type="text/event-stream")


@app.get("/left")
async def left() -> list[str]:
    return LEFT
