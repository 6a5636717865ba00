"""`python -m nitro.testing.nemesis --broker-url redis://127.0.0.1:6379 --minutes 10 --seed 7`

The run's workers and producers have a namespace of their own on that broker, so that only your own faults affect
anything else there. `--fault NAME=COMMAND` adds such a fault: a shell command that breaks something, waits, and repairs
it before it exits; add `--may-lose NAME` if it may lose acknowledged messages. `--judge FOLDER` checks a run again.
It needs uvicorn: pip install 'nitro-realtime[fastapi]'. The exit code is 1 if errors were found, and then the run's
folder is kept; 2 if the run could not be completed.
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
    """Add the options that every run has."""
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--faults", default="", help="names, separated by commas (default: all)")
    parser.add_argument("--app", default=APP, help="what the workers run (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second (default: 100)")
    parser.add_argument("--folder", type=Path, help="for the journals; always kept")


def run_and_report(options: argparse.Namespace, broker_url: str, faults: Sequence[Fault], namespace: str) -> int:
    """Run with these options, and print progress and findings. Returns the exit code."""
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
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="check a finished run again")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=COMMAND", help="a fault of your own")
    parser.add_argument(
        "--may-lose", action="append", default=[], metavar="NAME", help="a fault of yours that may lose messages"
    )
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
            parser.error(f"--fault {text!r} is not NAME=COMMAND")
        commands[name] = command
    if unknown := set(options.may_lose) - set(commands):
        parser.error(f"--may-lose {', '.join(sorted(unknown))}: there is no --fault of that name")
    faults = [shell_fault(name, command, may_lose=name in options.may_lose) for name, command in commands.items()]
    return run_and_report(options, options.broker_url, faults, f"nemesis-{secrets.token_hex(4)}")


if __name__ == "__main__":
    sys.exit(main())
