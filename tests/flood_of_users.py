"""Two hundred users who do the worst that their limits allow, beside clients that go on: side by side with quiet times.

`python -m tests.flood_of_users`. Each has a grant of its own. Some ask for as many patterns as they may, some come back
again and again to the oldest place of the log, some open streams and close them, some probe. Who is refused comes again
when `Retry-After` says, and not a moment later: how often anybody may send requests is no matter of streams. The
processes and their cores are those of `tests.flood`.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.flood import ENVIRONMENT, OPTIONS, Figures, GoodClients, leave_the_first_core_to_the_server, raise_file_limit
from tests.servers import ROOT, Server

LIMITS = {
    "NITRO_HISTORY_MESSAGES": "10000",
    "NITRO_MAX_CONNECTS_PER_SECOND": "20",
    "NITRO_MAX_CONNECTS_PER_SECOND_PER_USER": "0.2",
}
_ARRIVE_SECONDS = 5.0
KINDS = ("asks for much", "comes back", "comes and goes", "probes")


class User:
    """One of them, on connections of its own."""

    def __init__(self, port: int, number: int, oldest: str, outcomes: collections.Counter[str]) -> None:
        self.kind = KINDS[number % len(KINDS)]
        self._port = port
        self._number = number
        self._oldest = oldest
        self._outcomes = outcomes
        chosen = random.Random(number)
        names = [f"user.s{number}.{'*'.join(chosen.choices('orderplaced', k=4))}*{n}*" for n in range(50)]
        names += [f"user.s{number}.{n}" for n in range(950)]
        self._much = "&".join(f"topic={name}" for name in names)

    async def misbehave(self) -> None:
        await asyncio.sleep(random.Random(-self._number).uniform(0, _ARRIVE_SECONDS))
        while True:
            await asyncio.sleep(await self._once())

    async def _once(self) -> float:
        """How many seconds later it comes again."""
        query, seconds = {
            "asks for much": (self._much, 5.0),
            "comes back": (f"{self._much}&last_event_id={self._oldest}", 0.2),
            "comes and goes": ("", 0.0),
            "probes": (f"{self._much}&envelope=1&probe=1", 0.0),
        }[self.kind]
        local = (f"127.8.{self._number // 250}.{self._number % 250 + 1}", 0)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=local)
        except OSError as error:
            self._outcomes[f"{self.kind}: {type(error).__name__}"] += 1
            return 1
        try:
            writer.write(f"GET /events?{query} HTTP/1.1\r\nHost: x\r\nX-User: s{self._number}\r\n\r\n".encode())
            status = (await reader.readline())[9:12].decode() or "hung up"
            self._outcomes[f"{self.kind}: {status}"] += 1
            if status == "429":
                head = await reader.readuntil(b"\r\n\r\n")
                return float(head.lower().partition(b"retry-after: ")[2].partition(b"\r\n")[0])
            try:
                async with asyncio.timeout(seconds):
                    while await reader.read(1 << 16):
                        pass
            except TimeoutError:
                pass
        except OSError as error:
            self._outcomes[f"{self.kind}: {type(error).__name__}"] += 1
            return 1
        finally:
            writer.close()
        return 0


async def be_users(port: int, count: int, seconds: float, oldest: str) -> None:
    leave_the_first_core_to_the_server()
    os.nice(19)
    outcomes: collections.Counter[str] = collections.Counter()
    tasks = [asyncio.create_task(User(port, n, oldest, outcomes).misbehave()) for n in range(count)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(dict(sorted(outcomes.items()))), flush=True)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    users: int, good: int, seconds: float, rounds: int = 2, slack_ms: float = 0.0, *, direct: bool = False
) -> str:
    """Quiet times and times with them in turn; raises AssertionError where the good clients or the process suffer."""
    raise_file_limit(users * 4 + good + 500)
    options = (*OPTIONS, *(("--http", "nitro.uvicorn:HttpProtocol") if direct else ()))
    with Server("tests.apps.flood:app", options=options, environment={**ENVIRONMENT, **LIMITS}) as server:
        os.sched_setaffinity(server.process.pid, {min(os.sched_getaffinity(0))})
        oldest = server.get("/position").json()
        clients = GoodClients(server.port, good)
        quiet: list[tuple[Figures, float]] = []
        beside: list[tuple[Figures, float]] = []
        outcomes: collections.Counter[str] = collections.Counter()

        def look(phase: list[tuple[Figures, float]], kind: str) -> None:
            clients.figures()
            began, before = time.monotonic(), cpu_seconds(server.process.pid)
            if kind == "quiet":
                time.sleep(seconds)
            else:
                outcomes.update(let_loose(server.port, users, seconds, oldest))
            took = time.monotonic() - began
            phase.append((clients.figures(), (cpu_seconds(server.process.pid) - before) / took))

        try:
            time.sleep(3)
            for _ in range(rounds):
                look(quiet, "quiet")
                look(beside, "beside")
                time.sleep(3)  # until uvicorn has let go of them
        finally:
            clients.end()
    rows = [
        f"  {name} {f.events:8} {f.p50_ms:8.1f} {f.p99_ms:8.1f} {f.plain_p99_ms:8.1f} {cpu:8.1%}  {f.wrong}"
        for pair in zip(quiet, beside, strict=True)
        for name, (f, cpu) in zip(("quiet ", "beside"), pair, strict=True)
    ]
    answers = [f"  {count:6} {outcome}" for outcome, count in sorted(outcomes.items())]
    text = "\n".join(
        [
            f"{good} good clients, {users} users who do their worst",
            "           events   p50 ms   p99 ms  p99 of a plain request, CPU of the process",
            *rows,
            "answers",
            *answers,
        ]
    )
    for figures, _ in (*quiet, *beside):
        assert figures.events > 0, text
        assert figures.wrong == [], text
    calm, loud = (min(phase, key=lambda each: each[0].p99_ms) for phase in (quiet, beside))
    assert loud[0].p99_ms < 2 * calm[0].p99_ms + slack_ms, text
    assert min(f.plain_p99_ms for f, _ in beside) < 2 * min(f.plain_p99_ms for f, _ in quiet) + slack_ms, text
    assert min(cpu for _, cpu in beside) <= 1.5 * min(cpu for _, cpu in quiet), text
    return text


def let_loose(port: int, users: int, seconds: float, oldest: str) -> dict[str, int]:
    """Let them do it for so long. How each kind was answered."""
    arguments = ["--be", "--port", str(port), "--users", str(users), "--seconds", str(seconds), "--oldest", oldest]
    done = subprocess.run(
        [sys.executable, "-m", "tests.flood_of_users", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    outcomes: dict[str, int] = json.loads(done.stdout)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.flood_of_users", description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--good", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--direct", action="store_true", help="over direct streams")
    parser.add_argument("--be", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--oldest", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_file_limit(options.users * 4 + options.good + 500)
    if options.be:
        asyncio.run(be_users(options.port, options.users, options.seconds, options.oldest))
    else:
        print(measure(options.users, options.good, options.seconds, options.rounds, direct=options.direct))


if __name__ == "__main__":
    main()
