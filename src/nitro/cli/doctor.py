"""`nitro doctor`: what is configured, whether the log and a stream work, and what to do where they don't."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nitro.cli.doctor_log import examine_log
from nitro.cli.doctor_stream import examine_stream
from nitro.cli.failures import AWAY, failures_told
from nitro.cli.findings import Findings
from nitro.cli.screen import visible

__all__ = ["run"]


def run(broker_url: str, url: str | None, headers: dict[str, str], streams: int, seconds: float) -> int:
    """Examine the log at `broker_url`, and the stream at `url` if there is one; returns the exit code: 1 if anything
    is wrong.
    """
    found = Findings()
    progress = Console(stderr=True)
    with failures_told(), progress.status("the log …") as status:
        epoch = examine_log(broker_url, seconds, found)
        if url is not None:
            examine_stream(url, headers, streams, seconds, epoch, found, lambda what: status.update(f"{what} …"))
    _show(found)
    return AWAY if found.wrong else 0


def _show(found: Findings) -> None:
    if not sys.stdout.isatty():
        wrong = [finding._asdict() for finding in found.wrong]
        print(json.dumps({"facts": found.facts, "wrong": wrong}, ensure_ascii=False, separators=(",", ":")))
        return
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for name, fact in found.facts.items():
        table.add_row(Text(name, "bold"), Text(visible(fact)))
    console.print(table)
    for finding in found.wrong:
        console.print()
        console.print(Text.assemble(("✗ ", "bold red"), (visible(finding.what), "bold")))
        console.print(Padding(Text(f"→ {visible(finding.remedy)}"), (0, 0, 0, 2)))
    if not found.wrong:
        console.print(Text("\n✓ nothing is wrong", "bold green"))
