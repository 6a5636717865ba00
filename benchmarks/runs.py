"""What runs cost: many at once, each read by one client, over the stores, beside a relay that is written by hand.

`python benchmarks/runs.py at-once` or `paced`, in the environment that `make bench` makes. It prints the medians of the
rounds; `--json FILE` has each round. The server runs on one core; readers, and Redis, on another.

`at-once`: all runs send all their items as fast as they can, and the time is until the last reader has its end. The
relay appends each item to a Redis stream, and reads it for each reader by a blocking `XREAD`.

`paced`: runs in memory send `--burst` items each so often that there are `--rate` a second in all. A delay is from the
item's making to the reader's `recv()`.
"""

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from process import LOAD, BenchmarkError, serving
from rounds import Figures, allow_files, measured, medians, table
from servers import BUILD, MadeServer, Server

NEEDED_FILES = 16_384


NITRO = MadeServer("runs", "nitro, uvicorn", "with_runs")
DIRECT = MadeServer("runs-direct", "nitro, direct streams", "with_runs", "direct")
RELAY = MadeServer("relay", "XADD and XREAD by hand", "with_relay")


def at_once(options: argparse.Namespace) -> Iterator[Figures]:
    cases = [("nitro, Redis", NITRO, "redis"), ("by hand, Redis", RELAY, "redis")]
    cases += [("nitro, SQLite", NITRO, "sqlite"), ("nitro, memory", NITRO, "memory")]
    for number in range(options.rounds):
        for case, server, kind in cases[:: -1 if number % 2 else 1]:
            yield {"case": case, **_measured(server, kind, options.runs, options.items)}


def paced(options: argparse.Namespace) -> Iterator[Figures]:
    gap_seconds = options.runs * options.burst / options.rate
    items = round(options.seconds / gap_seconds) * options.burst
    for number in range(options.rounds):
        for case, server in (("uvicorn", NITRO), ("direct streams", DIRECT))[:: -1 if number % 2 else 1]:
            yield {"case": case, **_measured(server, "memory", options.runs, items, gap_seconds, options.burst)}


def _measured(server: Server, kind: str, runs: int, items: int, gap_seconds: float = 0.0, burst: int = 1) -> Figures:
    with ExitStack() as stack:
        redis: _Redis | None = None
        if kind == "redis":
            redis = stack.enter_context(_redis())
            url = redis.url
        elif kind == "sqlite":
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/runs.db"
        else:
            url = "memory://"
        BUILD.mkdir(exist_ok=True)
        limits = {"NITRO_MAX_CLIENTS_PER_USER": "100000", "NITRO_MAX_CONNECTS_PER_SECOND_PER_USER": "100000"}
        running = stack.enter_context(serving(server, 0, NITRO_BROKER_URL=url, **limits))
        command = ["taskset", "-c", "1", sys.executable, str(LOAD / "run_readers.py")]
        command += [str(running.port), str(runs), str(items), str(gap_seconds), str(burst)]
        readers = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert readers.stdin is not None
        assert readers.stdout is not None
        if readers.stdout.readline() != "ready\n":
            raise BenchmarkError("The readers have ended (see above)")
        connections = redis.connections() if redis is not None else 0
        cpu = running.cpu_seconds()
        print(file=readers.stdin, flush=True)
        line = readers.stdout.readline()
        cpu = running.cpu_seconds() - cpu
        if not line:
            raise BenchmarkError("The readers have ended (see above)")
        figures: Figures = json.loads(line)
    return {
        "items/s": figures["items"] / figures["seconds"],
        "p50 ms": figures["p50 ms"],
        "p99 ms": figures["p99 ms"],
        "CPU µs an item": cpu / figures["items"] * 1e6,
        "connections": connections,
        "missed": figures["missed"],
    }


@dataclass(frozen=True, slots=True)
class _Redis:
    url: str
    port: int

    def connections(self) -> int:
        """How many clients are connected, but for who asks."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"INFO clients\r\n")
            found = re.search(rb"connected_clients:(\d+)", connection.recv(65_536))
        assert found is not None
        return int(found[1]) - 1


@contextmanager
def _redis() -> Iterator[_Redis]:
    with socket.socket() as probe, tempfile.TemporaryDirectory() as directory:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = ["taskset", "-c", "1", "redis-server", "--port", str(port), "--save", "", "--dir", directory]
        process = subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
        try:
            redis = _Redis(f"redis://127.0.0.1:{port}", port)
            for _ in range(100):
                try:
                    redis.connections()
                    break
                except OSError:
                    time.sleep(0.05)
            yield redis
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where the figures of each round go")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=500, help="at-once: of each run")
    parser.add_argument("--rate", type=float, default=50_000, help="paced: items a second of all runs")
    parser.add_argument("--burst", type=int, default=10, help="paced: items that a run sends at once")
    parser.add_argument("--seconds", type=float, default=10, help="paced: of each turn")
    options = parser.parse_args()
    allow_files(NEEDED_FILES)
    packages = ("nitro-realtime", "uvicorn", "uvloop", "fastapi", "redis")
    figures = measured(MEASURES[options.what](options), packages, options.json)
    print(table(figures, medians(figures)))
    if any(each["missed"] for each in figures):
        sys.exit("Some readers did not get all items")


MEASURES = {"at-once": at_once, "paced": paced}


if __name__ == "__main__":
    main()
