"""A board for two: cards that are dragged between lists, shown at once, and right in every tab. See `make demo`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Form, HTTPException
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints
from sqlmodel import Field, col

from nitro import Entity, EventSourceResponse, PositionMiddleware, assets

HERE = Path(__file__).parent
GONE = HTTPException(404, "This card is gone; someone else may have deleted it.")

Lane = Literal["todo", "doing", "done"]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


class Card(Entity, table=True, live=True):
    title: str
    lane: str = "todo"
    place: float = Field(default_factory=time.time)  # in its lane; of two cards at the same place the ids decide
    moved_by: str = ""


class NewCard(BaseModel):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    user: Name


class Move(BaseModel):
    lane: Lane
    place: float
    user: Name


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    Card._repository.init_db()
    yield


app = FastAPI(title="Nitro: kanban", lifespan=lifespan)
app.add_middleware(PositionMiddleware)  # so a page knows when it has heard of its own write
app.mount("/nitro", assets)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(HERE / "kanban.html")


@app.get("/cards/live")
async def live_cards() -> EventSourceResponse:
    return EventSourceResponse(Card.live(order_by=[Card.lane, Card.place]))


@app.post("/cards", status_code=201)
def create_card(card: Annotated[NewCard, Form()]) -> dict[str, Any]:
    return {"status": "created", "card": Card(title=card.title, moved_by=card.user).save().model_dump()}


@app.patch("/cards/{card_id}")
def move_card(card_id: str, move: Annotated[Move, Form()]) -> dict[str, str]:
    changes = {"lane": move.lane, "place": move.place, "moved_by": move.user}
    if Card.update_where(col(Card.id) == card_id, **changes):
        return {"status": "moved"}
    raise GONE


@app.delete("/cards/{card_id}")
def delete_card(card_id: str) -> dict[str, str]:
    if Card.delete_where(col(Card.id) == card_id):
        return {"status": "deleted"}
    raise GONE
