"""The scenarios: which servers each compares, what it does to them, and what it measures.

A scenario gets one server after the other, a fresh process each time, and yields a `Run` for each case.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from across import across, between
from process import HERE, LoadClient, Order, Running, serving, subscribed
from servers import Server

WRONG = ("doubled", "out_of_order", "gaps", "foreign", "ended")
RATES = (100, 500, 1_000, 2_000)
SUSTAINED_SECONDS = 5
GRACE_SECONDS = 1.0
IDLE_SECONDS = 30
AUDIENCE = 1_000
CROWD = 10_000
COMING = 9_500
STOPPING = 100
RETURNING = 2_000
BEHIND = 100

TICK = "an event per tick"
LOCKSTEP = "lockstep"
BESIDE = "100 events/s, plain requests beside"
HALF = "an event each half second"
FRESH = "fresh"
RESUMING = "with an id"

FAN_OUT = "1,000 events/s to 1,000 clients of one process"
PAIRS = (
    "across-redis",
    "across-nats",
    "across-postgresql",
    "across-sqlite",
    "across-pubsub",
    "across-streams",
    "across-raw",
)

OPERATED = "operated"

PYTHON_PEERS = ("queue", "litestar", "sse-starlette", "polled", "fastapi")


@dataclass(frozen=True, slots=True)
class Cores:
    server: int
    client: int


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of one server measured: `values` by the names that `report.MEASURES` explains."""

    scenario: str
    case: str
    server: str
    values: dict[str, float]
    faults: str = ""
    counts: dict[str, int] = field(default_factory=dict)


Measure = Callable[[Server, Cores, str], Iterator[Run]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`measures` are the columns of its table."""

    title: str
    servers: tuple[str, ...]
    measures: tuple[str, ...]
    measure: Measure


@contextmanager
def _audience(server: Server, cores: Cores, stopping: int = 0) -> Iterator[tuple[Running, LoadClient]]:
    with (
        serving(server, cores.server) as running,
        subscribed(running, AUDIENCE, cores.client, stopping) as client,
    ):
        yield running, client


def _run(
    scenario: str, case: str, running: Running, client: LoadClient, order: Order, *, may_be_late: bool = False
) -> Run:
    """One run, checked. A server that `may_be_late` is asked how much came in time; from others all must come."""
    cpu_before = running.cpu_seconds()
    seen = client.run(order)
    cpu_seconds = running.cpu_seconds() - cpu_before
    delivered = max(1, seen["delivered"])
    span_seconds = max(1e-9, seen["span_seconds"])
    values = {
        "cpu_us": cpu_seconds / delivered * 1e6,
        "per_second": delivered / span_seconds,
        "in_time": seen["delivered"] / (seen["delivered"] + max(seen["lost"], 0)),
        "p50_ms": seen["p50_ms"],
        "p99_ms": seen["p99_ms"],
        "max_ms": seen["max_ms"],
        "writes": seen["writes"] / delivered,
        "bytes": seen["bytes"] / delivered,
        "server_busy": cpu_seconds / span_seconds,
        "client_busy": seen["client_busy"],
    }
    if order.probe_seconds:
        values |= {"plain_p50_ms": seen["probe_p50_ms"], "plain_p99_ms": seen["probe_p99_ms"]}
    counts = _counts(seen)
    wrong = _wrong(counts, WRONG if may_be_late else (*WRONG, "lost"))
    if seen["fire_status"] not in (0, 200, 201, 202):  # 0: no answer yet when the time was up
        wrong.append(f"asked to emit, it answered {seen['fire_status']}")
    return Run(scenario, case, running.server.name, values, ", ".join(wrong), counts)


def _counts(seen: dict[str, Any]) -> dict[str, int]:
    return {name: int(seen[name]) for name in ("delivered", "lost", *WRONG, "probes", "let_go")}


def _wrong(counts: dict[str, int], kinds: Sequence[str]) -> list[str]:
    return [f"{counts[kind]} {kind.replace('_', ' ')}" for kind in kinds if counts[kind]]


def _warm_up(client: LoadClient, events: int) -> None:
    client.run(Order(events, events))


def burst(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    with _audience(server, cores) as (running, client):
        _warm_up(client, 20)
        yield _run(name, TICK, running, client, Order(200, 200))
        yield _run(name, LOCKSTEP, running, client, Order(200, 1))


def operated(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    """Both in `burst`, longer; who is operated is scraped each second meanwhile."""
    with _audience(server, cores) as (running, client), _scraped(running) if server.name == OPERATED else nullcontext():
        _warm_up(client, 20)
        yield _run(name, TICK, running, client, Order(4_000, 4_000, timeout_seconds=60))
        yield _run(name, LOCKSTEP, running, client, Order(600, 1, timeout_seconds=60))


@contextmanager
def _scraped(running: Running) -> Iterator[None]:
    """Its metrics are asked for each second, as Prometheus would at its fastest."""
    is_over = Event()

    def scrape() -> None:
        while not is_over.wait(1):
            assert "nitro_clients" in running.get("/metrics/")

    with ThreadPoolExecutor(1) as pool:
        scraping = pool.submit(scrape)
        try:
            yield
        finally:
            is_over.set()
            scraping.result()


def sustained(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    for rate in RATES:
        with _audience(server, cores) as (running, client):
            _warm_up(client, 20)
            events = rate * SUSTAINED_SECONDS
            order = Order(events, events, 1 / rate, timeout_seconds=SUSTAINED_SECONDS + GRACE_SECONDS)
            yield _run(name, f"{rate:,} events/s", running, client, order, may_be_late=True)


def crowd(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    with serving(server, cores.server) as running:
        with subscribed(running, 100, cores.client) as client:
            _warm_up(client, 20)
        before = running.memory_bytes()
        with subscribed(running, CROWD, cores.client) as client:
            memory = {"connection_kib": _kib_each(running.memory_bytes() - before)}
            order = Order(20, 20, timeout_seconds=30)
            run = _run(name, "20 events", running, client, order)
            yield _with(run, connect_seconds=client.connect_seconds, **memory)
            yield _run(name, HALF, running, client, Order(20, 20, 0.5, timeout_seconds=20))
            if server.name in (*OURS, "nchan"):
                order = Order(500, 500, 0.01, timeout_seconds=6, probe_seconds=0.02)
                yield _run(name, BESIDE, running, client, order, may_be_late=True)


def connect(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    """How long they take, and what each costs the server. With an id, each is asked for what it missed: nothing."""
    for case in (FRESH, RESUMING) if server.is_ours else (FRESH,):
        with serving(server, cores.server) as running:
            with subscribed(running, 100, cores.client) as client:
                _warm_up(client, 20)
            path = f"/events?last_event_id={running.get('/position')}" if case == RESUMING else "/events"
            cpu_before = running.cpu_seconds()
            with subscribed(running, COMING, cores.client, path=path) as client:
                cpu_us = (running.cpu_seconds() - cpu_before) / COMING * 1e6
                yield Run(name, case, server.name, {"connect_seconds": client.connect_seconds, "back_cpu_us": cpu_us})


def idle(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    with serving(server, cores.server) as running:
        before = running.memory_bytes()
        with subscribed(running, CROWD, cores.client):
            memory = _kib_each(running.memory_bytes() - before)
            cpu_before = running.cpu_seconds()
            time.sleep(IDLE_SECONDS)
            busy = (running.cpu_seconds() - cpu_before) / IDLE_SECONDS
            yield Run(name, "", server.name, {"idle_busy": busy, "connection_kib": memory})


def _kib_each(grown_bytes: int) -> float:
    """Of the crowd; what has all its memory from the start may seem to shrink by a page."""
    return max(0, grown_bytes) / CROWD / 1024


def spec(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    with _audience(server, cores) as (running, client):
        _warm_up(client, 20)
        yield _run(name, TICK, running, client, Order(200, 200))
        yield _run(name, LOCKSTEP, running, client, Order(50, 1))


def slow(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    for stop in (False, True):
        with _audience(server, cores, STOPPING) as (running, client):
            _warm_up(client, 20)
            before = running.peak_bytes()
            order = Order(2_250, 2_250, 1 / 150, pad=3000, timeout_seconds=30, stop=stop)
            case = f"{STOPPING} stop reading" if stop else "all read"
            run = _run(name, case, running, client, order)
            grown = (running.peak_bytes() - before) / 2**20
            yield _with(run, grown_mib=grown, let_go=float(run.counts["let_go"]))


def replay(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    with serving(server, cores.server) as running:
        with subscribed(running, 100, cores.client) as client:
            _warm_up(client, 20)
        position = running.get("/position")
        running.get(f"/fire?k={BEHIND}")
        before, cpu_before = running.peak_bytes(), running.cpu_seconds()
        path = f"/events?last_event_id={position}"
        with subscribed(running, RETURNING, cores.client, path=path, backlog=BEHIND) as client:
            seen = client.backlog
            cpu_seconds = running.cpu_seconds() - cpu_before
            values = {
                "back_seconds": seen["span_seconds"],
                "back_cpu_us": cpu_seconds / RETURNING * 1e6,
                "cpu_us": cpu_seconds / max(1, seen["delivered"]) * 1e6,
                "grown_mib": (running.peak_bytes() - before) / 2**20,
            }
            counts = _counts(seen)
            yield Run(name, "", server.name, values, ", ".join(_wrong(counts, (*WRONG, "lost"))), counts)


def brokers(server: Server, cores: Cores, name: str) -> Iterator[Run]:
    """Between two processes; or from a broker to an audience, all emits being its own."""
    if server.runner == "pair":
        for case, values, wrong in across(server, {cores.server, cores.client}):
            yield Run(name, case, server.name, values, wrong)
        return
    with ExitStack() as stack:
        variables = {"NITRO_BROKER_URL": stack.enter_context(between(server.broker))} if server.broker else {}
        running = stack.enter_context(serving(server, cores.server, **variables))
        client = stack.enter_context(subscribed(running, AUDIENCE, cores.client))
        _warm_up(client, 20)
        events = 1_000 * SUSTAINED_SECONDS
        order = Order(events, events, 1 / 1_000, timeout_seconds=SUSTAINED_SECONDS + GRACE_SECONDS)
        yield _run(name, FAN_OUT, running, client, order, may_be_late=True)


def micro(_: Server, cores: Cores, name: str) -> Iterator[Run]:
    """In a process of its own, on the server's core."""
    command = ["taskset", "-c", str(cores.server), sys.executable, str(HERE / "micro.py"), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        found: dict[str, Any] = json.loads(line)
        yield Run(name, found["case"], "nitro", {"delivery_us" if name == "stages" else "emit_us": found["us"]})


def _with(run: Run, **values: float) -> Run:
    return Run(run.scenario, run.case, run.server, {**run.values, **values}, run.faults, run.counts)


OURS = ("nitro-direct", "nitro", "nitro-granian")
FLOW = ("per_second", "cpu_us", "p50_ms", "p99_ms", "writes", "server_busy", "client_busy")

SCENARIOS: dict[str, Scenario] = {
    "burst": Scenario("1,000 subscribers, 200 events", (*OURS, "nchan", *PYTHON_PEERS, "floor"), FLOW, burst),
    "operated": Scenario(
        "1,000 subscribers; metrics scraped each second, health and inspector mounted, tracing installed and off",
        ("nitro-direct", OPERATED),
        FLOW,
        operated,
    ),
    "sustained": Scenario(
        f"1,000 subscribers, events at a fixed rate for {SUSTAINED_SECONDS} s",
        (*OURS, "nchan", *PYTHON_PEERS, "floor"),
        ("in_time", "per_second", "p50_ms", "p99_ms", "server_busy", "client_busy"),
        sustained,
    ),
    "crowd": Scenario(
        "10,000 subscribers",
        (*OURS, "nitro-starlette", "nchan", "queue", "sse-starlette", "floor"),
        ("per_second", "p50_ms", "p99_ms", "plain_p99_ms", "connect_seconds", "connection_kib", "cpu_us"),
        crowd,
    ),
    "connect": Scenario(
        f"{COMING:,} connect, 100 at a time",
        (*OURS, "nitro-starlette", "nchan", "queue", "floor"),
        ("connect_seconds", "back_cpu_us"),
        connect,
    ),
    "idle": Scenario(
        f"10,000 subscribers, nothing happens for {IDLE_SECONDS} s",
        (*OURS, "nitro-starlette", "nchan", "sse-starlette"),
        ("idle_busy", "connection_kib"),
        idle,
    ),
    "rooms": Scenario("Clients with an interest each, of which one matches", ("nitro",), ("emit_us",), micro),
    "stages": Scenario("1,000 streams whose server does nothing, lockstep", ("nitro",), ("delivery_us",), micro),
    "spec": Scenario(
        "1,000 subscribers, 200 events, a hand-written StreamingResponse",
        ("stream", "queue-json", "polled"),
        FLOW,
        spec,
    ),
    "slow": Scenario(
        "1,000 subscribers, 150 events/s of 3 KiB for 15 s",
        (*OURS,),
        ("p50_ms", "p99_ms", "grown_mib", "let_go", "in_time"),
        slow,
    ),
    "replay": Scenario(
        f"{RETURNING:,} clients come back at once, each {BEHIND} messages behind",
        OURS,
        ("back_seconds", "back_cpu_us", "cpu_us", "grown_mib"),
        replay,
    ),
    "brokers": Scenario(
        "From an emit in one process to a client in another",
        (*PAIRS, "fan-out", "fan-out-redis"),
        ("per_second", "p50_ms", "p99_ms", "idle_busy", "in_time", "server_busy"),
        brokers,
    ),
    "emit": Scenario("No client", ("nitro",), ("emit_us",), micro),
    "schemas": Scenario("No client; events with and without a schema, in turns", ("nitro",), ("emit_us",), micro),
}
