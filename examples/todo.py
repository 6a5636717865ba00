"""A todo list that is the same in every open tab: an entity, and a query of it that stays true. See `make demo`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Query
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints
from sqlmodel import Field, col

from nitro import Entity, EventSourceResponse, assets

HERE = Path(__file__).parent
GONE = HTTPException(404, "This todo is gone; someone else may have deleted it.")


class Todo(Entity, table=True, live=True):
    title: str
    completed: bool = False
    created_at: float = Field(default_factory=time.time)  # seconds since 1970; the page sorts by it


class Change(BaseModel):
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    completed: bool | None = None


def sent(form: Annotated[Change, Form()], query: Annotated[Change, Query()]) -> Change:
    """What came as a form, as the page sends it, or else in the address, as is handy with curl."""
    return query.model_copy(update=form.model_dump(exclude_unset=True))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    Todo._repository.init_db()
    yield


app = FastAPI(title="Nitro: todo", lifespan=lifespan)
app.mount("/nitro", assets)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(HERE / "todo.html")


@app.get("/todos/live")
async def live_todos() -> EventSourceResponse:
    return EventSourceResponse(Todo.live(order_by=col(Todo.created_at).desc()))


@app.get("/todos")
def get_todos() -> dict[str, Any]:
    return {"todos": [todo.model_dump() for todo in Todo.all()]}


@app.post("/todos", status_code=201)
def create_todo(change: Annotated[Change, Depends(sent)]) -> dict[str, Any]:
    if not change.title:
        raise HTTPException(422, "A todo needs a title.")
    todo = Todo(title=change.title, completed=bool(change.completed)).save()
    return {"status": "created", "todo": todo.model_dump()}


@app.patch("/todos/{todo_id}")
def update_todo(todo_id: str, change: Annotated[Change, Depends(sent)]) -> dict[str, Any]:
    if change.title == "" or change == Change():
        raise HTTPException(422, "Send a title that is not empty, or completed.")
    Todo.update_where(col(Todo.id) == todo_id, **change.model_dump(exclude_none=True))
    if todo := Todo.get(todo_id):
        return {"status": "updated", "todo": todo.model_dump()}
    raise GONE


@app.delete("/todos/{todo_id}")
def delete_todo(todo_id: str) -> dict[str, str]:
    if Todo.delete_where(col(Todo.id) == todo_id):
        return {"status": "deleted"}
    raise GONE
