"""A chat with rooms: the room is the sender of its messages, so each page hears its own room alone.

`python -m examples.serve examples.chat:app` starts it. Open two rooms in four tabs.
"""

import uuid
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints

from nitro import Client, EventSourceResponse, assets, emit, event

HERE = Path(__file__).parent

message_sent = event("chat.message")

# What newcomers see at first: the last messages of all rooms together. A chat worth keeping has a database.
recent: deque[dict[str, Any]] = deque(maxlen=500)

# Endpoints run in threads. One message at a time: the stream then has the order of `recent`.
sending = Lock()

RoomId = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class Words(BaseModel):
    username: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] = ""
    message: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""


def sent(form: Annotated[Words, Form()], query: Annotated[Words, Query()]) -> Words:
    """What came as a form, as the page sends it, or else in the address, as is handy with curl."""
    return query.model_copy(update=form.model_dump(exclude_unset=True))


app = FastAPI(title="Nitro: chat")
app.mount("/nitro", assets)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(HERE / "chat.html")


@app.get("/chat/events/{room_id}")
async def chat_events(room_id: RoomId) -> EventSourceResponse:
    return EventSourceResponse(Client(topics={"chat.message": [room_id]}))


@app.get("/chat/{room_id}/messages")
def get_messages(room_id: RoomId) -> dict[str, Any]:
    return {"messages": [message for message in recent.copy() if message["room"] == room_id]}


@app.post("/chat/{room_id}/send", status_code=201)
def send_message(room_id: RoomId, words: Annotated[Words, Depends(sent)]) -> dict[str, Any]:
    if not words.username:
        raise HTTPException(422, "Say who you are: the name is empty.")
    if not words.message:
        raise HTTPException(422, "There is nothing to send: the message is empty.")
    with sending:
        message = {
            "id": str(uuid.uuid4()),
            "room": room_id,
            "username": words.username,
            "message": words.message,
            "timestamp": datetime.now(UTC).isoformat(),
        }
        recent.append(message)
        emit(message_sent, room_id, result=message)
    return {"status": "sent", "message": message}
