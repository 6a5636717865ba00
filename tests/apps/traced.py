"""Streams and emits that are traced, into the file `TEST_SPANS`: each span is one line of JSON, once it has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from nitro import Client, EventSourceResponse, Message, emit_async
from nitro.errors import TooManyClients
from nitro.otel import NitroInstrumentor
from nitro.sse.problem import Problem


def as_line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


file = open(os.environ["TEST_SPANS"], "a")
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=as_line)))
NitroInstrumentor().instrument(tracer_provider=provider)
heard: list[str | None] = []


async def _hear() -> None:
    async for message in Client(topics=["todo.*"]).connect().messages():
        if isinstance(message, Message):
            heard.append(message.traceparent)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(_hear())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(TooManyClients)
async def refuse(_: object, refusal: TooManyClients) -> Problem:
    return Problem(refusal)


@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(Client(topics=["todo.*", "note.*"]))


@app.post("/emit")
async def emit_one(topic: str, result: Annotated[int, Body()]) -> None:
    await emit_async(topic, "me", result=result)


@app.get("/heard")
async def traceparents() -> list[str | None]:
    return heard
