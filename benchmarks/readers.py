"""What it costs that every process reads the whole log: many processes on one broker, of which one has a hearer.

`python benchmarks/readers.py redis --readers 24`, in the environment that `make bench` makes. It prints the CPU time
that each event takes in a process that has nobody for it, in the one that hears it, in the one that emits it, and in
the broker; also what an idle process takes. CPU time, not wall time: the processes may share two cores.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from subprocess import Popen

from across import line_of, start
from process import cpu_seconds
from tests.brokers import BROKERS

IDLE_SECONDS = 5
RATES = (100, 1_000)
SECONDS = 5
PAD_BYTES = 50


@contextmanager
def _ended(process: "Popen[str]") -> Iterator["Popen[str]"]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def measure(kind: str, readers: int) -> Iterator[dict[str, float | str]]:
    """A line for each rate of events."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        broker = stack.enter_context(BROKERS[kind](Path(directory), is_durable=False))
        url = broker.url if broker.server is None else broker.server.url
        hearing = stack.enter_context(_ended(start("hearing", "nitro", url)))
        reading = [stack.enter_context(_ended(start("reading", url))) for _ in range(readers - 1)]
        emitting = stack.enter_context(_ended(start("emitting", "nitro", url)))
        of = {"emitter": [emitting.pid], "hearer": [hearing.pid], "reader": [process.pid for process in reading]}
        if broker.server is not None and broker.server.process is not None:
            of["broker"] = [broker.server.process.pid]
        _series(emitting, hearing, 200, 0)
        before = _cpu(of)
        time.sleep(IDLE_SECONDS)
        idle = {name: (seconds - before[name]) / IDLE_SECONDS for name, seconds in _cpu(of).items()}
        for rate in RATES:
            events = rate * SECONDS
            before, began = _cpu(of), time.monotonic()
            found = _series(emitting, hearing, events, 1 / rate)
            took = time.monotonic() - began
            spent = {name: seconds - before[name] - idle[name] * took for name, seconds in _cpu(of).items()}
            yield {
                "broker": kind,
                "readers": readers,
                "events_per_second": round(events / took),
                "p50_ms": found["p50_ms"],
                **{f"{name}_us": seconds / events * 1e6 for name, seconds in spent.items()},
                **{f"idle_{name}_percent": share * 100 for name, share in idle.items()},
            }


def _series(emitting: "Popen[str]", hearing: "Popen[str]", events: int, gap_seconds: float) -> dict[str, float]:
    assert emitting.stdin is not None
    emitting.stdin.write(f"{events} {gap_seconds}\n")
    emitting.stdin.flush()
    found: dict[str, float] = json.loads(line_of(hearing))
    if not found["is_whole"]:
        raise SystemExit(f"{found['heard']} of {events} events came, or not in order")
    return found


def _cpu(of: dict[str, list[int]]) -> dict[str, float]:
    """Seconds of CPU time that one process of each kind has taken."""
    return {name: mean(cpu_seconds(pid) or 0.0 for pid in pids) for name, pids in of.items() if pids}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("broker", choices=[kind for kind in BROKERS if kind != "memory"])
    parser.add_argument("--readers", type=int, default=24, help="processes that read the log, the hearer included")
    options = parser.parse_args()
    for line in measure(options.broker, options.readers):
        print(
            json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in line.items()})
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
