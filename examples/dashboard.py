"""A shop's live figures: a scheduler's thread and visitors' clicks feed one stream; roles filter it."""

import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from nitro import Client, EventSourceResponse, assets, emit, event

HERE = Path(__file__).parent
TICK_SECONDS = 2
PRICES = {"Espresso cups": 24, "Hand grinder": 69, "Kettle": 89, "Beans, 1 kg": 28}
NAMES = ["Ada", "Barbara", "Edsger", "Frances", "Grace", "Katherine", "Ken", "Leslie"]

order_placed = event("analytics.order-placed")
user_registered = event("analytics.user-registered")
revenue_updated = event("analytics.revenue")
changing = RLock()  # clicks and ticks come in threads: one at a time, so that events have the changes' order

totals = {"orders": 0, "users": 0, "revenue": 0}
recent = {name: deque([0] * 40, maxlen=40) for name in totals}  # how much each grew in each of the last 40 ticks


def grow(name: str, amount: int) -> int:
    totals[name] += amount
    recent[name][-1] += amount
    return totals[name]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    for _tick in range(40):  # a past, so that the first page to open has something to show
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
        for bars in recent.values():
            bars.append(0)
        for _ in range(random.choice([0, 0, 1, 1, 2, 3])):
            place_order()
        if random.random() < 0.3:
            register_user()
        emit(revenue_updated, "system", result={"revenue": totals["revenue"]})


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(HERE / "dashboard.html")


@app.get("/dashboard/events")
async def dashboard_events(user_role: str = "viewer") -> EventSourceResponse:
    # Here the address says who asks, so that you can try both; your application asks its session instead.
    viewers_topics = ["analytics.order-placed", "analytics.user-registered"]
    return EventSourceResponse(Client(topics=["analytics.*"] if user_role == "admin" else viewers_topics))


@app.get("/dashboard/figures")
def get_figures(user_role: str = "viewer") -> dict[str, Any]:
    names = totals if user_role == "admin" else totals.keys() - {"revenue"}
    with changing:
        figures = {name: {"total": totals[name], "recent": [*recent[name]]} for name in names}
    return {"tick_seconds": TICK_SECONDS, "figures": figures}


@app.post("/dashboard/orders", status_code=201)
def place_order() -> dict[str, Any]:
    with changing:
        product, price = random.choice(list(PRICES.items()))
        grow("revenue", price)
        emit(order_placed, "shop", result={"orders": grow("orders", 1), "what": f"Order: {product}"})
    return {"status": "placed"}


@app.post("/dashboard/users", status_code=201)
def register_user() -> dict[str, Any]:
    with changing:
        users, name = grow("users", 1), random.choice(NAMES)
        emit(user_registered, "shop", result={"users": users, "what": f"{name} registered"})
    return {"status": "registered"}
