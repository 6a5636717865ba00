"""Serves live queries as HTML, and a page for each library that takes it; its database is that of the broker's log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Literal

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from sqlalchemy import delete
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import nitro
from nitro import EventSourceResponse, LiveClient, active_clients
from tests.apps.frontends import LIBRARIES, library
from tests.apps.live_queries import engine_on

__all__ = ["app"]


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(default="")
    done: Mapped[bool] = mapped_column(default=False)


engine = engine_on(os.environ["NITRO_BROKER_URL"])
Base.metadata.create_all(engine)
notes = nitro.live_model(Note, "note", engine=engine)
app = FastAPI()
app.mount("/nitro", nitro.assets)


def item(note: Note) -> str:
    return f'<li id="note-{escape(note.id)}">{escape(note.text)}</li>'


def line(note: Note) -> str:
    return f'<tr class="line" id="note-{escape(note.id)}"><td>{escape(note.text)}</td></tr>'


def live(markup: Literal["htmx", "turbo"], rows: str) -> LiveClient:
    return notes.live(
        Note.done == False,  # noqa: E712 - SQL
        order_by=Note.text.desc() if rows == "newest" else Note.text,
        limit=3 if rows == "window" else None,
        rendered=line if rows == "table" else item,
        target="notes",
        markup=markup,
    )


@app.get("/live/{markup}/{rows}")
async def stream(markup: Literal["htmx", "turbo"], rows: str) -> EventSourceResponse:
    return EventSourceResponse(live(markup, rows), retry_milliseconds=100)


PAGES = {
    "htmx 2": (
        '<script src="/static/htmx2.min.js"></script><script src="/static/sse.min.js"></script>',
        '<div hx-ext="sse" sse-connect="/live/htmx/ROWS" sse-swap="message" hx-swap="none"></div>',
    ),
    "htmx 4": (
        '<script src="/static/htmx.min.js"></script><script src="/static/hx-sse.min.js"></script>',
        '<div hx-sse:connect="/live/htmx/ROWS" hx-swap="none"></div>',
    ),
    "Turbo": (
        '<script src="/static/turbo.es2017-umd.js"></script>',
        '<turbo-stream-source src="/live/turbo/ROWS"></turbo-stream-source>',
    ),
    "Turbo, by the client": (
        """<script src="/static/turbo.es2017-umd.js"></script>
        <script type="module">
          import { connect } from "/nitro/client.js";
          const live = connect("/live/turbo/ROWS", { since: "snapshot-0" });
          live.on("*", (html) => Turbo.renderStreamMessage(html));
          live.on("gap", () => location.reload());
        </script>""",
        "",
    ),
}
"""The head of each page, and what it has besides the rows."""


@app.get("/pages/{name}/{rows}", response_class=HTMLResponse)
async def page(name: str, rows: str) -> str:
    place = '<ul id="notes"><li>of the page</li></ul>'
    if rows == "table":
        place = '<table><tbody id="notes"></tbody></table>'
    head, body = PAGES[name]
    html = f"<!doctype html><html><head><title>quiet</title>{head}</head><body>{place}{body}</body></html>"
    return html.replace("ROWS", rows)


@app.get("/static/{name}")
async def static(name: str) -> FileResponse:
    assert name in LIBRARIES
    return FileResponse(library(name))


@contextmanager
def transaction() -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        session.commit()


@app.post("/notes")
def write(written: dict[str, str | None]) -> None:
    """In one transaction: a text for each id; None is done, and "" is deleted."""
    with transaction() as session:
        for id, text in written.items():
            note = session.get(Note, id) or Note(id=id)
            if text == "":
                session.delete(note)
            else:
                note.done, note.text = text is None, note.text if text is None else text
                session.add(note)


@app.post("/again")
def tell_again(id: str) -> None:
    """Tell of a row whose values before are not known."""
    with transaction() as session:
        notes.changed([id], session)


@app.post("/forget")
def forget() -> None:
    with transaction() as session, notes.silent():
        session.execute(delete(Note))


@app.post("/many")
def many() -> None:
    """More rows than are told one by one, and more than one part of them."""
    with transaction() as session:
        session.add_all([Note(id=f"m{n}", text=f"{n:04} " + "x" * 200) for n in range(1100)])


@app.get("/clients")
async def clients() -> int:
    return len(active_clients)
