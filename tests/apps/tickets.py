"""An application whose streams are opened by tickets, and one door that dismisses a user."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from nitro import Grant, disconnect_user, emit_async, event_stream
from nitro.tickets import Tickets

app = FastAPI()
tickets = Tickets("a secret of the tests, long enough", seconds=600)


@app.get("/ticket")
async def ticket(user: str) -> str:
    return tickets.issue(Grant([f"user.{user}.*"], user_id=user))


@app.get("/events")
async def events(request: Request, ticket: str) -> Response:
    return event_stream(request, tickets.read(ticket))


@app.post("/emit")
async def emit(topic: str, count: int = 1) -> None:
    for n in range(count):
        await emit_async(topic, result=n)


@app.post("/dismiss")
async def dismiss(user: str) -> None:
    disconnect_user(user)
    await emit_async("the.dismissal", result="is in the log")
