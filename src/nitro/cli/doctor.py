"""`nitro doctor`: what is configured, whether the log and a stream work, and what to do where they don't."""

from __future__ import annotations

import json
import logging
import sys

from rich.console import Console
from rich.text import Text

from nitro.cli import broker
from nitro.cli.doctor_log import examine_log
from nitro.cli.doctor_stream import check_url, examine_stream
from nitro.cli.failures import AWAY, failures_told
from nitro.cli.findings import Findings
from nitro.cli.run import raise_limit_of_files
from nitro.cli.screen import visible

__all__ = ["run"]


def run(broker_url: str | None, url: str | None, headers: dict[str, str], streams: int, seconds: float) -> int:
    """Examine the log at `broker_url`, or that of the settings, and the stream at `url` if there is one.

    Returns:
        The exit code: 1 if anything is wrong.
    """
    logging.getLogger("nitro").addHandler(logging.NullHandler())  # what is wrong is among what was found
    chosen = broker.choose(broker_url, must_exist=True, may_be_memory=True)
    if url is not None:
        check_url(url, headers)
    raise_limit_of_files()
    found = Findings()
    progress = Console(stderr=True)
    with failures_told(), progress.status("the log …") as status:
        epoch = examine_log(chosen, seconds, found)
        if url is not None:
            examine_stream(url, headers, streams, seconds, epoch, found, lambda what: status.update(f"{what} …"))
    _show(found)
    return AWAY if found.wrong else 0


def _show(found: Findings) -> None:
    if not sys.stdout.isatty():
        wrong = [finding._asdict() for finding in found.wrong]
        print(json.dumps({"facts": found.facts, "wrong": wrong}, ensure_ascii=False, separators=(",", ":")))
        return
    console = Console(highlight=False, soft_wrap=True)
    width = max(map(len, found.facts))
    for name, fact in found.facts.items():
        console.print(Text.assemble((f"{name:{width}}  ", "bold"), visible(fact)))
    for finding in found.wrong:
        console.print(Text.assemble("\n", ("✗ ", "bold red"), (visible(finding.what), "bold")))
        console.print(Text(f"  → {visible(finding.remedy)}"))
    if not found.wrong:
        console.print(Text("\n✓ nothing is wrong", "bold green"))
