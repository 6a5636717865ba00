"""The benchmarks: nitro beside its peers and the kernel's floor, on this machine, now.

`python benchmarks/bench.py [SCENARIO ...]`; README.md beside this file says what they are and how to read them.
"""

import argparse
import os
import resource
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from process import HERE, BenchmarkError, compile_c
from report import as_text, document, medians, picture, tables, targets_table
from scenarios import CROWD, SCENARIOS, Cores, Run
from servers import SERVERS, present
from targets import judge

NEEDED_FILES = CROWD + 1_000
QUIET_LOAD = 0.5
RESULTS = HERE / "results"
TODAY = datetime.now(UTC).date().isoformat()


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run; the medians are shown")
    parser.add_argument("--servers", default="", help=f"only these of {','.join(SERVERS)}")
    parser.add_argument("--cores", default="", help="SERVER,CLIENT; by default the first two allowed")
    parser.add_argument("--save", action="store_true", help="write what was measured, and a chart of it, to results/")
    options = parser.parse_args(arguments)
    options.scenarios = options.scenarios or list(SCENARIOS)
    options.servers = options.servers.split(",") if options.servers else list(SERVERS)
    for wanted, known in ((options.scenarios, SCENARIOS), (options.servers, SERVERS)):
        if unknown := sorted(set(wanted) - set(known)):
            parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.rounds < 1:
        parser.error("--rounds starts at 1")
    return options


def _cores(wanted: str) -> Cores:
    allowed = sorted(os.sched_getaffinity(0))
    chosen = [int(core) for core in wanted.split(",")] if wanted else allowed[:2]
    if len(set(chosen)) != 2 or not set(chosen) <= set(allowed):
        raise BenchmarkError(f"Server and client need a core each, two in all; allowed here: {allowed}")
    return Cores(*chosen)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < NEEDED_FILES:
        raise BenchmarkError(f"{NEEDED_FILES} open files needed, {hard} allowed: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, NEEDED_FILES), hard))


def _measure(name: str, options: argparse.Namespace, cores: Cores) -> list[Run]:
    """All rounds of one scenario, interleaved, so that a machine that changes its mood changes it for all."""
    scenario = SCENARIOS[name]
    servers, _ = present([server for server in scenario.servers if server in options.servers])
    runs: list[Run] = []
    for round_ in range(options.rounds):
        for server in servers:
            for run in scenario.measure(server, cores, name):
                runs.append(run)
                figures = ", ".join(f"{key} {value:.4g}" for key, value in run.values.items())
                outcome = f"WRONG RUN: {run.faults}" if run.faults else figures
                print(f"{name} {round_ + 1}: {run.server}, {run.case}: {outcome}", file=sys.stderr, flush=True)
    return runs


def _save(runs: Sequence[Run], text: str) -> None:
    """Over what was written of this run before."""
    names = list(dict.fromkeys(run.scenario for run in runs))
    for suffix in (".json", ".svg"):
        (RESULTS / _file(names[:-1])).with_suffix(suffix).unlink(missing_ok=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / _file(names)
    path.with_suffix(".json").write_text(text)
    if drawn := picture(runs):
        path.with_suffix(".svg").write_text(drawn)


def _file(names: Sequence[str]) -> str:
    return TODAY if list(names) == list(SCENARIOS) else "-".join([TODAY, *names])


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    load_before = os.getloadavg()[0]
    _, missing = present(options.servers)
    runs: list[Run] = []
    try:
        cores = _cores(options.cores)
        _raise_file_limit()
        compile_c()
        os.sched_setaffinity(0, {cores.client})  # this program sleeps during a run, but never on the server's core
        for name in options.scenarios:
            runs += _measure(name, options, cores)
            if options.save:  # each time: all of them take long
                _save(runs, as_text(document(runs, judge(medians(runs)), missing, load_before)))
    except BenchmarkError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    targets = judge(medians(runs))
    print(f"\nMedian (min–max) of {options.rounds} rounds.\n\n{tables(runs)}\n")
    if targets:
        print(f"### Targets\n\n{targets_table(targets)}\n")
    for name, lack in missing.items():
        print(f"MISSING: {SERVERS[name].title}: {lack}")
    if load_before > QUIET_LOAD:
        print(f"The machine was busy (load {load_before:.1f} before the start): don't quote these figures.")
    failures = [f"WRONG RUN: {run.scenario}, {run.server}, {run.case}: {run.faults}" for run in runs if run.faults]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
