"""What live queries cost: a change of one row, many clients that begin at once, and the same clients if they polled.

`python benchmarks/live_queries.py change`, `open` or `polling`, in the environment that `make bench` makes. It prints
the medians of the rounds; `--json FILE` has each round. Servers run on one core, and what loads them on another.

`change`: in this process, without sockets and a database, the time from the log's entry of one changed row, in the
hub's hands, to the bytes in the hands of the sinks of all clients concerned. In it are parsing and decoding, the
look-up and the filters, the row's JSON and its operation, append and close, the notices, the SSE framing, and one turn
of uvloop; the log's reading and a socket's writing are not. Entries come alone, with a turn each, or a hundred in one.

`open`: all clients open one query at once. In the same rounds, as many open a stream of events, which begins with no
rows, and as many fetch a response that Starlette has ready, with the bytes of the query's stream. CPU is that of all
the server's threads, from before the first connects until the last has it all.

`polling`: somebody commits changes of one row each. Clients have live queries, or ask every second over connections
that they keep; each for rows of its own, or all for the same, ten rows in any case. A delay is from the commit's return
to the client's `recv()`; the CPU is the server's, reading the log included.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvloop
from peers.with_live_queries import Row
from process import LOAD, BenchmarkError, Running, serving
from rounds import Figures, allow_files, measured, medians, table
from servers import BUILD, HTTP_PROTOCOLS, MadeServer
from sqlalchemy import Engine, create_engine
from sqlmodel import Session, SQLModel

import nitro
from nitro.delivery.frame import unnamed
from nitro.delivery.outbox import Outbox
from nitro.delivery.process import get_hub
from nitro.delivery.state import State
from nitro.live.declaring import LiveModel
from nitro.live.row_codec import ChangedRow
from nitro.messages.message import Message, Position
from nitro.messages.row_changes import ROW_CHANGES

NEEDED_FILES = 8_192
ROWS_EACH = 10
STRIDE = 617
"""From one owner to the next one whose row changes, so that changes don't come in the order in which clients ask."""
EVERYBODY, NOBODY = -1, -2
"""Owners: of the rows that all clients share, and of none."""
END = b'"snapshot-end"'


class Arrivals:
    """How many clients have yet to get something, and when the last one had it."""

    left = 0
    at = 0.0


class Taking:
    """A sink that takes what a socket would write."""

    def __init__(self, outbox: Outbox, arrivals: Arrivals) -> None:
        self._outbox = outbox
        self._arrivals = arrivals
        outbox.attach(self)
        outbox.free()

    def ready(self) -> bool:
        while self._outbox.take_body(unnamed):
            self._arrivals.left -= 1
        self._arrivals.at = time.perf_counter()
        return True

    def ended(self) -> None:
        """It has nothing to close."""


def change(options: argparse.Namespace) -> Iterator[Figures]:
    os.environ |= {"NITRO_BROKER_URL": "memory://", "NITRO_MAX_CLIENTS": str(2 * options.most)}
    rows = nitro.live_model(Row, engine=create_engine("sqlite:///unused.db"))  # nobody reads its rows
    clients = options.clients
    cases = [(f"equality, 1 of {many:,}", many, 1, _of_owner) for many in sorted({10, clients, options.most})]
    cases += [(f"range, {hit:,} of {clients:,}", clients, hit, partial(_of_size, hit)) for hit in (1, 10, clients)]
    for case, many, hit, where in cases * options.rounds:
        yield {"case": case, **uvloop.run(_changing(rows, [where(n) for n in range(many)], hit, options.changes))}


def _of_owner(n: int) -> Sequence[Any]:
    return [Row.owner_id == n]


def _of_size(hit: int, n: int) -> Sequence[Any]:
    """Ranges, no two the same; those of the first `hit` have 5 and 6."""
    low = n // hit * (hit + 20)
    return [Row.size > low - n % hit, Row.size <= low + 10]


async def _changing(rows: LiveModel, queries: Iterable[Sequence[Any]], hit: int, changes: int) -> Figures:
    arrivals, here = Arrivals(), nitro.position()  # who resumes doesn't read its rows
    clients = [rows.live(*where, last_event_id=here).connect() for where in queries]
    outboxes = [client.open_outbox() for client in clients]
    for outbox in outboxes:
        Taking(outbox, arrivals)
    while any(outbox.state is not State.IDLE for outbox in outboxes):  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)
    entries = _entries(rows)
    alone = [await _microseconds(list(islice(entries, 1)), arrivals, hit) for _ in range(changes + 20)][20:]
    joined = [await _microseconds(list(islice(entries, 100)), arrivals, hit) for _ in range(10)]
    for client in clients:
        client.disconnect()
    return {"µs": median(alone), "p99 µs": quantiles(alone, n=100)[98], "of 100 joined, µs each": median(joined) / 100}


def _entries(rows: LiveModel) -> Iterator[Message]:
    """What the log has of one row, which changes again and again, and stays in the queries that it is in."""
    head = get_hub().broker.head
    for n in count(1):
        before, after = [(1, 0, 5 + number % 2, number, "x" * 40) for number in (n, n + 1)]
        [draft] = rows.drafts_for_queries([ChangedRow("1", before, after)])
        yield Message(ROW_CHANGES, None, draft.payload, Position(head.epoch, head.sequence + n))


async def _microseconds(entries: Sequence[Message], arrivals: Arrivals, hit: int) -> float:
    hub, arrivals.left = get_hub(), hit
    began = time.perf_counter()
    with hub.broker.lock:
        for entry in entries:
            hub.deliver(entry)
    while arrivals.left > 0:  # noqa: ASYNC110 - nothing is measured but the turns that it takes
        await asyncio.sleep(0)
    return (arrivals.at - began) * 1e6


@contextmanager
def _database(owners: Iterable[int]) -> Iterator[Path]:
    """A file with rows of these owners."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "rows.db"
        engine = create_engine(f"sqlite:///{file}")
        SQLModel.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all([Row(owner_id=owner) for owner in owners])
            session.commit()
        engine.dispose()
        yield file


@contextmanager
def _serving(database: Path, prepared: str = os.devnull, runner: str = "uvicorn") -> Iterator[Running]:
    BUILD.mkdir(exist_ok=True)
    server = MadeServer("live-queries", f"nitro, {runner}", "with_live_queries", runner)
    with serving(server, 0, NITRO_BROKER_URL=f"sqlite:///{database}", PREPARED=prepared) as running:
        with _crowd(running, f"/live?owner={NOBODY}", 1) as ask:
            ask()  # the log is followed from here on, and what is only done once is done
        yield running


@contextmanager
def _crowd(running: Running, path: str, clients: int) -> Iterator[Callable[[], Figures]]:
    """A process that has these clients. What is yielded asks it for what they have; first it waits until they begin."""
    command = ["taskset", "-c", "1", sys.executable, str(LOAD / "crowd.py"), str(running.port), path, str(clients)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask() -> Figures:
            print(file=process.stdin, flush=True)
            for line in process.stdout or ():
                figures: Figures = json.loads(line)
                return figures
            raise BenchmarkError("The clients have ended (see above)")

        try:
            yield ask
        finally:
            process.kill()


def open_at_once(options: argparse.Namespace) -> Iterator[Figures]:
    path = f"/live?owner={EVERYBODY}"
    with _database([EVERYBODY] * options.rows) as database:
        body, file = b"", database.with_suffix(".prepared")
        with _serving(database) as running, urllib.request.urlopen(f"http://127.0.0.1:{running.port}{path}") as stream:
            while END not in body or not body.endswith(b"\n\n"):
                body += stream.read1()
        file.write_bytes(body)
        for number in range(options.rounds):
            for each in (path, "/events", "/prepared")[:: -1 if number % 2 else 1]:
                with _serving(database, str(file), options.runner) as running:
                    yield {"case": each.partition("?")[0], **_opened(running, each, options.clients)}


def _opened(running: Running, path: str, clients: int) -> Figures:
    selects, cpu = int(running.get("/selects")), running.cpu_seconds()
    with _crowd(running, path, clients) as ask:
        seconds = ask()["seconds"]
        cpu = running.cpu_seconds() - cpu
        time.sleep(0.3)  # an id follows what was waited for
        received = ask()["bytes"]
    selects = int(running.get("/selects")) - selects
    return {"SELECTs": selects, "received MB": received / 1e6, "CPU s": cpu, "until all have it, s": seconds}


def polling(options: argparse.Namespace) -> Iterator[Figures]:
    clients = options.clients
    turns = [("live queries", "/live", "own"), ("polling", "/rows", "own")]
    turns += [(way, path, "shared") for way, path, _ in turns]
    with _database([owner for owner in (*range(clients), EVERYBODY) for _ in range(ROWS_EACH)]) as database:
        os.environ["NITRO_BROKER_URL"] = f"sqlite:///{database}"
        engine, versions = create_engine(os.environ["NITRO_BROKER_URL"]), count(1)
        nitro.live_model(Row)
        nitro.connect_broker()
        os.sched_setaffinity(0, {1})
        for number in range(options.rounds):
            for way, path, whose in turns[:: -1 if number % 2 else 1]:
                owner = "{}" if whose == "own" else str(EVERYBODY)
                with _serving(database) as running, _crowd(running, f"{path}?owner={owner}", clients) as ask:
                    ask()
                    time.sleep(1)  # who came last is at rest then
                    before, cpu, began = ask(), running.cpu_seconds(), time.monotonic()
                    written = _write(engine, versions, None if whose == "shared" else clients, options)
                    cpu, seconds, after = running.cpu_seconds() - cpu, time.monotonic() - began, ask()
                    deadline = time.monotonic() + options.patience
                    while None in (delays := _delays(written, ask()["known"])) and time.monotonic() < deadline:
                        time.sleep(0.2)  # for who has yet to ask
                heard = [delay for delay in delays if delay is not None]
                per_second = {name: (after[name] - before[name]) / seconds for name in ("bytes", "answers")}
                yield {
                    "case": f"{way}, {whose} rows",
                    "CPU s/s": cpu / seconds,
                    "p50 ms": median(heard),
                    "p99 ms": quantiles(heard, n=100)[98],
                    "heard": len(heard),
                    "missed": len(delays) - len(heard),
                    "received MB/s": per_second["bytes"] / 1e6,
                    "reads/s": per_second["answers"],
                }


def _write(
    engine: Engine, versions: Iterator[int], owners: int | None, options: argparse.Namespace
) -> list[tuple[int, int | None, float]]:
    """Change rows of so many owners, or those that all share; returns each version, its owner, and the commit's end."""
    written = []
    began = time.monotonic()
    for n, version in zip(range(round(options.seconds * options.writes)), versions, strict=False):
        time.sleep(max(0.0, began + n / options.writes - time.monotonic()))
        owner = n * STRIDE % owners if owners else None
        place = options.clients if owner is None else owner
        with Session(engine) as session:
            session.get_one(Row, 1 + place * ROWS_EACH + version % ROWS_EACH).version = version
            session.commit()
            written.append((version, owner, time.monotonic()))
    return written


def _delays(
    written: Sequence[tuple[int, int | None, float]], known: Sequence[Sequence[tuple[float, int]]]
) -> list[float | None]:
    """Milliseconds from each commit until each client concerned had that version of its rows, or a newer one."""
    delays: list[float | None] = []
    for version, owner, at in written:
        for each in known if owner is None else [known[owner]]:
            first = bisect_left(each, version, key=lambda has: has[1])
            delays.append((each[first][0] - at) * 1e3 if first < len(each) else None)
    return delays


def _table(figures: Sequence[Figures]) -> str:
    """The medians of the rounds."""
    values = medians(figures)
    if "/prepared" in values:
        both = zip(values["/live"], values["/prepared"], strict=True)
        values["/live to /prepared"] = [one / other if other else float("nan") for one, other in both]
    return table(figures, values)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where the figures of each round go")
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--most", type=int, default=100_000, help="change: as many clients in the largest case")
    parser.add_argument("--changes", type=int, default=500, help="change: in each case")
    parser.add_argument("--runner", choices=HTTP_PROTOCOLS, default="uvicorn", help="open: direct streams, or not")
    parser.add_argument("--rows", type=int, default=1_000, help="open: of the query")
    parser.add_argument("--writes", type=float, default=10, help="polling: a second")
    parser.add_argument("--seconds", type=float, default=10, help="polling: of each turn")
    parser.add_argument("--patience", type=float, default=10, help="polling: seconds in which the last have to hear")
    options = parser.parse_args()
    allow_files(NEEDED_FILES)
    packages = ("nitro-realtime", "uvicorn", "uvloop", "fastapi", "sqlalchemy")
    figures = measured(MEASURES[options.what](options), packages, options.json)
    print(_table(figures))
    if any(each.get("missed") for each in figures):
        sys.exit("Some clients did not hear in time: give them more --patience, or fewer writes")


MEASURES = {"change": change, "open": open_at_once, "polling": polling}


if __name__ == "__main__":
    main()
