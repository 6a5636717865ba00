"""Every block of `docs/how-to/listening.md` as it stands there, against a server that is cut off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nitro
from nitro import active_clients
from nitro.client import StreamRefused
from nitro.delivery.hub import Hub
from nitro.testing.conformance import eventually
from tests.documents import Document
from tests.servers import Server
from tests.specification.blocks import Block

PAGE = Document("docs/how-to/listening.md")
RUNS_BLOCKS = {"docs/how-to/listening.md": ["python"]}
FIRST, IN_A_THREAD, GOES_ON, A_RUN, IN_THE_APPLICATION, REFUSED = PAGE.all("python")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.listening:app", environment={"NITRO_RETRY_MILLISECONDS": "50"}) as started:
        yield started
    assert "Traceback" not in started.output, started.output


class Program:
    """The names of a block, and what it shows."""

    def __init__(self, block: Block, url: str = "") -> None:
        self.shown: list[Any] = []
        self.gaps = 0
        self.names: dict[str, Any] = {
            "show": lambda topic, data: self.shown.append((topic, data)),
            "fetch_anew": self._fetch_anew,
            "fetch_anew_in_a_thread": self._count,
        }
        source = block.source.replace("http://localhost:8000/private", f"{url}/answers/401")
        PAGE.run(replace(block, source=source.replace("http://localhost:8000", url)), self.names)

    async def _fetch_anew(self) -> None:
        self._count()

    def _count(self) -> None:
        self.gaps += 1


def emit(server: Server, *results: int) -> None:
    for result in results:
        server.post("/emit?topic=todo.changed", json=result)


def until_clients(server: Server, count: int) -> None:
    eventually(lambda: server.get("/left").json()["clients"] == count, f"there are {count} clients", 15)


async def until_shown(program: Program, *wanted: int) -> None:
    shown = [("todo.changed", n) for n in wanted]
    await asyncio.to_thread(eventually, lambda: program.shown == shown, f"{wanted} are shown, not {program.shown}", 15)


async def hear(program: Program, name: str, server: Server, between: Callable[[], None], *wanted: int) -> None:
    task = asyncio.create_task(program.names[name]())
    await asyncio.to_thread(between)
    await until_shown(program, *wanted)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_the_first_program_hears_all_over_a_cut(server: Server) -> None:
    program = Program(FIRST, server.url)

    def act() -> None:
        until_clients(server, 1)
        emit(server, 1)
        server.post("/disconnect")
        emit(server, 2)

    asyncio.run(hear(program, "hear", server, act, 1, 2))
    until_clients(server, 0)


def test_the_program_without_a_loop_hears_the_same(server: Server) -> None:
    program = Program(IN_A_THREAD, server.url)

    async def scenario() -> None:
        running = asyncio.create_task(asyncio.to_thread(program.names["hear_in_a_thread"]))
        await asyncio.to_thread(until_clients, server, 1)
        await asyncio.to_thread(emit, server, 1, 2)
        await until_shown(program, 1, 2)
        await asyncio.to_thread(server.post, "/disconnect?stop=true")
        with pytest.raises(StreamRefused):
            await running

    asyncio.run(scenario())


def test_the_program_that_keeps_its_place_goes_on_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = Program(GOES_ON, server.url)

    def act() -> None:
        until_clients(server, 1)
        emit(server, 1)

    asyncio.run(hear(program, "go_on", server, act, 1))
    emit(server, 2)
    asyncio.run(hear(program, "go_on", server, lambda: None, 1, 2))
    assert program.gaps == 0
    (tmp_path / "place.txt").write_text("another-1")
    asyncio.run(hear(program, "go_on", server, lambda: eventually(lambda: program.gaps == 1, "a gap", 15), 1, 2))


def test_the_program_that_reads_a_run_prints_its_items_and_its_end(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    source = A_RUN.source.replace("/answers/", "/runs/")
    id = server.post("/runs?items=2&pause=0").json()
    asyncio.run(asyncio.wait_for(Program(replace(A_RUN, source=source), server.url).names["read_a_run"](id), 15))
    assert capsys.readouterr().out == "{'n': 0}\n{'n': 1}\ndone\n"


def test_the_program_that_is_refused_prints_why(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    program = Program(REFUSED, server.url)
    asyncio.run(program.names["hear_until_refused"]())
    assert capsys.readouterr().out == "401 the reason\n"


def test_the_program_in_the_application_goes_on_when_it_was_too_slow_and_tells_gaps(
    hub_with: Callable[..., Hub],
) -> None:
    hub_with(client_max_messages=4, history_messages=20)
    program = Program(IN_THE_APPLICATION)
    handled: list[int] = []

    async def scenario() -> None:
        may_go_on = asyncio.Event()

        async def handle(topic: str, data: int) -> None:
            handled.append(data)
            await may_go_on.wait()

        async def until(is_so: Callable[[], bool]) -> None:
            while not is_so():
                await asyncio.sleep(0.01)

        async def emit_while_it_handles(numbers: range) -> None:
            await until(lambda: len(active_clients) == 1)
            may_go_on.clear()
            for n in numbers:
                nitro.emit("todo.changed", result=n)
                await until(lambda: numbers[0] in handled)
                await asyncio.sleep(0)
            await until(lambda: not active_clients)
            may_go_on.set()

        program.names["handle"] = handle
        hearing = asyncio.create_task(program.names["hear_here"]())
        await emit_while_it_handles(range(10))
        await until(lambda: handled == [*range(10)])
        await emit_while_it_handles(range(10, 50))  # the log keeps the last 20
        await until(lambda: program.gaps == 1)
        nitro.emit("todo.changed", result=50)
        await until(lambda: handled == [*range(11), 50])
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing

    asyncio.run(asyncio.wait_for(scenario(), 30))
