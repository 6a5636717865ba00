"""`python -m nitro.testing.nemesis --broker-url redis://127.0.0.1:6379 --minutes 10 --seed 7`

The workers and producers of the run have a namespace of their own on that broker, so what else is there stays untouched
but by the faults that you name. `--fault NAME=COMMAND` adds one of your own set-up: a command of the shell that breaks
something, waits, and mends it before it ends; with `--may-lose NAME` if acknowledged messages may be lost by it.
`--judge FOLDER` judges a run again. It needs uvicorn: pip install 'nitro-realtime[fastapi]'. The exit code is 1 if
anything was wrong, and then the folder of the run is kept; 2 if the run could not be made.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nitro.errors import NitroError
from nitro.testing.nemesis.fault import Fault, shell_fault
from nitro.testing.nemesis.judge import judge
from nitro.testing.nemesis.run import APP, Plan, run

__all__ = ["add_options", "main", "run_and_report"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that every run has, whatever its set-up."""
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--faults", default="", help="names with commas between them; all by default")
    parser.add_argument("--app", default=APP, help="what the workers run (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second (default: 100)")
    parser.add_argument("--folder", type=Path, help="for the journals; kept, whatever comes of it")


def run_and_report(options: argparse.Namespace, broker_url: str, faults: Sequence[Fault], namespace: str) -> int:
    """Run by these options, print what happens and what came of it; the exit code."""
    print(f"seed {options.seed}", flush=True)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="nemesis-"))
    plan = Plan(
        broker_url,
        folder,
        options.minutes * 60,
        options.seed,
        faults,
        [name for name in options.faults.split(",") if name],
        app=options.app,
        workers=options.workers,
        rate=options.rate,
        namespace=namespace,
        tell=lambda line: print(line, flush=True),
    )
    try:
        findings = asyncio.run(run(plan))
    except NitroError as error:
        print(f"the run failed: {error}\nits journals are in {folder}", file=sys.stderr)
        return 2
    print(f"\n{findings}")
    if findings.is_clean and not options.folder:
        shutil.rmtree(folder)
    else:
        print(f"the journals are in {folder}; python -m nitro.testing.nemesis --judge {folder} judges them again")
    return 0 if findings.is_clean else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m nitro.testing.nemesis", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--broker-url", help="as in NITRO_BROKER_URL")
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="of a run that is over")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=COMMAND", help="one of your own")
    parser.add_argument("--may-lose", action="append", default=[], metavar="NAME", help="of those of your own")
    add_options(parser)
    options = parser.parse_args()
    if options.judge:
        findings = judge(options.judge)
        print(findings)
        return 0 if findings.is_clean else 1
    if not options.broker_url:
        parser.error("--broker-url is missing")
    commands: dict[str, str] = {}
    for text in options.fault:
        name, equals, command = text.partition("=")
        if not equals:
            parser.error(f"--fault {text!r} is no NAME=COMMAND")
        commands[name] = command
    if unknown := set(options.may_lose) - set(commands):
        parser.error(f"--may-lose {', '.join(sorted(unknown))}: there is no --fault of that name")
    faults = [shell_fault(name, command, may_lose=name in options.may_lose) for name, command in commands.items()]
    return run_and_report(options, options.broker_url, faults, f"nemesis-{secrets.token_hex(4)}")


if __name__ == "__main__":
    sys.exit(main())
