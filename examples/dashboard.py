"""A shop's live figures: a scheduler's thread and visitors' clicks change rows; each role has a query of its own."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import RLock
from typing import Annotated, Any

from apscheduler.schedulers.background import BackgroundScheduler
from fastapi import FastAPI, Query
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from sqlmodel import JSON, Column, Field, col

from nitro import Entity, EventSourceResponse, assets

HERE = Path(__file__).parent
TICK_SECONDS = 2
TICKS = 40
PRICES = {"Espresso cups": 24, "Hand grinder": 69, "Kettle": 89, "Beans, 1 kg": 28}
NAMES = ["Ada", "Barbara", "Edsger", "Frances", "Grace", "Katherine", "Ken", "Leslie"]

changing = RLock()  # clicks and ticks come in threads, and each reads a row before it writes it


class Figure(Entity, table=True, live=True):
    """`orders`, `users` or `revenue`: how many so far, in each of the last ticks, and what it was last."""

    total: int = 0
    recent: list[int] = Field(default_factory=lambda: [0] * TICKS, sa_column=Column(JSON, nullable=False))
    news: str = ""

    def grow(self, amount: int, news: str = "") -> None:
        self.total += amount
        self.recent = [*self.recent[:-1], self.recent[-1] + amount]
        self.news = news
        self.save()


def figure(name: str) -> Figure:
    return Figure.get(name) or Figure(id=name)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    Figure._repository.init_db()
    for _tick in range(TICKS):  # a past, so that the first page to open has something to show
        tick()
    scheduler = BackgroundScheduler()
    scheduler.add_job(tick, "interval", seconds=TICK_SECONDS)
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(title="Nitro: dashboard", lifespan=lifespan)
app.mount("/nitro", assets)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")


def tick() -> None:
    """Two seconds of the shop's day, in the scheduler's thread."""
    with changing:
        for each in Figure.all():
            each.recent = [*each.recent[1:], 0]
            each.save()
        if orders := random.choice([0, 0, 1, 1, 2, 3]):
            place_order(orders)
        if random.random() < 0.3:
            register_user()


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(HERE / "dashboard.html")


@app.get("/dashboard/live")
async def live_figures(user_role: str = "viewer") -> EventSourceResponse:
    # Here the address says who asks, so that you can try both; your application asks its session instead.
    what_all_may_see = col(Figure.id).in_(["orders", "users"])
    return EventSourceResponse(Figure.live() if user_role == "admin" else Figure.live(what_all_may_see))


@app.post("/dashboard/orders", status_code=201)
def place_order(count: Annotated[int, Query(ge=1, le=9)] = 1) -> dict[str, Any]:
    with changing:
        product, price = random.choice(list(PRICES.items()))
        figure("revenue").grow(count * price)
        figure("orders").grow(count, f"Order: {product}")
    return {"status": "placed"}


@app.post("/dashboard/users", status_code=201)
def register_user() -> dict[str, Any]:
    with changing:
        figure("users").grow(1, f"{random.choice(NAMES)} registered")
    return {"status": "registered"}
