"""nitro's live queries and its events, the same rows to be polled, and a response that is ready; for `live_queries.py`.

The rows are in SQLite, at NITRO_BROKER_URL, and the log in the same file. The response is what is in the file PREPARED.
"""

import os
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import create_engine, event
from sqlmodel import Field, Session, SQLModel, select
from starlette.responses import Response

import nitro

THREADS = 40
"""In which Starlette runs endpoints that aren't coroutines; each has a connection to the database."""


class Row(SQLModel, table=True):
    """About 100 bytes of JSON. Each change has a higher version than those before."""

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(index=True)
    size: int = 0
    version: int = 0
    title: str = "x" * 40


def application() -> FastAPI:
    engine = create_engine(os.environ["NITRO_BROKER_URL"], pool_size=THREADS)
    rows = nitro.live_model(Row, engine=engine)
    response = Response(Path(os.environ["PREPARED"]).read_bytes(), media_type="text/event-stream")
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *of: statements.append(of[2]))
    app = FastAPI()

    @app.get("/live")
    async def live(owner: int) -> nitro.EventSourceResponse:
        return nitro.EventSourceResponse(rows.live(Row.owner_id == owner))

    @app.get("/events")
    async def events() -> nitro.EventSourceResponse:
        return nitro.EventSourceResponse(nitro.Client(topics=["row.*"]))

    @app.get("/rows")
    def polled(owner: int) -> list[Row]:
        with Session(engine) as session:
            return list(session.exec(select(Row).where(Row.owner_id == owner)))

    @app.get("/prepared")
    async def prepared() -> Response:
        return response

    @app.get("/selects")
    async def selects() -> int:
        return sum(each.startswith("SELECT") for each in statements)

    return app
