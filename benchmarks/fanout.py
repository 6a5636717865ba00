"""Fan-out to many subscribers: nitro beside its peers and the kernel's floor, on this machine, now.

`python benchmarks/fanout.py` prints a table; README.md beside this file says how to read it.
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from process import SERVERS, BenchmarkError, compile_c
from report import cpu_of, document, tables
from trial import LOCKSTEP, PACES, TICK, Load, Outcome, trial

MOST_OF_QUEUE = 0.6
SPARE_FILES = 64
QUIET_LOAD = 0.5
MODULES = {
    "nitro": ("nitro", "fastapi", "uvicorn", "uvloop", "httptools"),
    "queue": ("starlette", "uvicorn", "uvloop", "httptools"),
    "sse-starlette": ("sse_starlette", "uvicorn", "uvloop", "httptools"),
    "floor": (),
}


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--events", type=int, default=200, help="of one run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gap", type=float, default=0.0, help="seconds, instead of a loop tick, between events")
    parser.add_argument("--servers", default=",".join(SERVERS), help="in the order in which they run")
    parser.add_argument("--cores", default="", help="SERVER,CLIENT; by default the first two allowed")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one run")
    parser.add_argument("--quick", action="store_true", help="300 subscribers, 50 events, 1 round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--check", action="store_true", help="fail if a tick costs over 60 %% of queue's CPU")
    options = parser.parse_args(arguments)
    if options.quick:
        options.subscribers, options.events, options.rounds = 300, 50, 1
    if min(options.subscribers, options.events, options.rounds) < 1:
        parser.error("--subscribers, --events and --rounds start at 1")
    options.servers = options.servers.split(",")
    if unknown := set(options.servers) - set(SERVERS):
        parser.error(f"unknown server {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
    if options.check and not {"nitro", "queue"} <= set(options.servers):
        parser.error("--check compares nitro with queue: name both in --servers")
    return options


def _cores(wanted: str) -> tuple[int, int]:
    allowed = sorted(os.sched_getaffinity(0))
    chosen = [int(core) for core in wanted.split(",")] if wanted else allowed[:2]
    if len(set(chosen)) != 2 or not set(chosen) <= set(allowed):
        raise BenchmarkError(f"Server and client need a core each, two in all; allowed here: {allowed}")
    return chosen[0], chosen[1]


def _raise_file_limit(subscribers: int) -> None:
    needed = subscribers + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if needed > hard:
        raise BenchmarkError(f"{needed} open files needed, {hard} allowed: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _require_modules(servers: Sequence[str]) -> None:
    missing = {module for server in servers for module in MODULES[server] if find_spec(module) is None}
    if missing:
        raise BenchmarkError(f"Not installed: {', '.join(sorted(missing))}; `make bench` installs it")


def _compare(options: argparse.Namespace) -> list[Outcome]:
    server_core, client_core = _cores(options.cores)
    load = Load(options.subscribers, options.events, options.gap, options.timeout, server_core, client_core)
    os.sched_setaffinity(0, {client_core})  # this program sleeps during a run, but never on the server's core
    outcomes: list[Outcome] = []
    for round_ in range(options.rounds):
        for server in options.servers:
            for outcome in trial(server, load):
                outcomes.append(outcome)
                result = outcome.faults() or f"{outcome.cpu_us:.2f} µs/delivery, {outcome.per_second:,.0f}/s"
                print(f"round {round_ + 1} {server} {outcome.pace}: {result}", file=sys.stderr, flush=True)
    return outcomes


def _verdict(outcomes: Sequence[Outcome], check: bool) -> list[str]:
    """What fails this comparison, in words."""
    failures = [f"WRONG RUN: {o.server}, {o.pace}: {faults}" for o in outcomes if (faults := o.faults())]
    if check and not failures:
        share = {pace: cpu_of(outcomes, "nitro", pace) / cpu_of(outcomes, "queue", pace) for pace in PACES}
        print(f"\nnitro's share of queue's CPU: {share[TICK]:.0%} at a tick, {share[LOCKSTEP]:.0%} in lockstep")
        if share[TICK] > MOST_OF_QUEUE:
            failures.append(f"CHECK FAILED: at most {MOST_OF_QUEUE:.0%} with one event per tick is wanted")
    return failures


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parsed(arguments)
    load_before = os.getloadavg()[0]
    try:
        _require_modules(options.servers)
        _raise_file_limit(options.subscribers)
        compile_c()
        outcomes = _compare(options)
    except BenchmarkError as error:
        print(f"fanout: {error}", file=sys.stderr)
        return 1
    print(f"\n{options.subscribers:,} subscribers, {options.events} events a run: median (min-max of rounds)\n")
    print(tables(outcomes))
    if load_before > QUIET_LOAD:
        print(f"\nThe machine was busy (load {load_before:.1f} before the start): don't quote these figures.")
    failures = _verdict(outcomes, options.check)
    if options.json:
        results = document(outcomes, vars(options), load_before)
        options.json.write_text(json.dumps(results, indent=2, ensure_ascii=False, default=str) + "\n")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
