"""The doctor's look at the broker's log: is it reachable, what does it retain, and what would a restart lose?"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Final

from nitro.brokers.base import ExaminableLog, Examination, Extent, Log
from nitro.brokers.urls import log_of
from nitro.cli import broker
from nitro.cli.findings import Findings
from nitro.errors import BrokerRefused, BrokerUnavailable
from nitro.redaction import without_secrets
from nitro.settings import Settings, get_settings, misspelt

__all__ = ["CLOCK", "CLOCKS_DIFFER", "examine_log"]

FEWEST_MESSAGES: Final = 100
SHORTEST_SECONDS: Final = 30.0
"""A page that is back sooner than this shouldn't have missed anything: a tunnel, a deployment, a restart."""
CLOCKS_DIFFER: Final = 2.0
"""Seconds; a response's `Date` has whole ones."""
CLOCK: Final = "let NTP set the clocks of both hosts (timedatectl set-ntp true)"


def examine_log(url: str, seconds: float, found: Findings) -> str | None:
    """Examine the log at `url`; returns its epoch, or None if it isn't to be had from here."""
    settings = get_settings()
    found.facts["broker"] = f"{without_secrets(url)}, namespace {settings.namespace}"
    for name, meant in misspelt(os.environ):
        found.add("setting", f"{name} is no setting of Nitro's, and changes nothing", f"is {meant} meant?")
    _check_retention(settings, found)
    if url == "memory://":
        found.facts["restart"] = "keeps nothing: the log is in each process alone, and browsers are told of a gap"
        return None
    try:
        broker.connect(url, seconds)
        extent, oldest_seconds, examination = asyncio.run(_ask(log_of(url, settings), seconds))
    except (BrokerUnavailable, BrokerRefused) as error:
        check = "refused" if isinstance(error, BrokerRefused) else "unreachable"
        found.add(check, f"the log can't be used: {error}", _REMEDIES[check])
        return None
    count = extent.newest - extent.oldest + 1
    since = f", the oldest {timedelta(seconds=round(oldest_seconds))} old" if count else ""
    found.facts["log"] = f"{count:,} message{'' if count == 1 else 's'}{since}; epoch {extent.epoch}"
    if examination is not None:
        found.facts["restart"] = f"keeps {examination.survives}"
        for what, remedy in examination.weaknesses:
            found.add("not-durable", what, remedy)
        ahead = examination.ahead_seconds
        if ahead is not None and abs(ahead) > CLOCKS_DIFFER:
            what = (
                f"the clock of the broker's host is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this one"
            )
            found.add("clock", f"{what}: messages are kept too long or too short", CLOCK)
    is_full = count >= settings.history_messages * 0.9
    if is_full and settings.history_messages >= FEWEST_MESSAGES and oldest_seconds < SHORTEST_SECONDS:
        what = f"the log is full, and reaches back {oldest_seconds:.0f} s only: who is away for longer misses messages"
        found.add("short-log", what, "raise NITRO_HISTORY_MESSAGES, as far as memory allows: each process keeps them")
    return extent.epoch


def _check_retention(settings: Settings, found: Findings) -> None:
    messages, seconds = settings.history_messages, settings.history_seconds
    found.facts["retention"] = f"{messages:,} messages, {settings.history_bytes:,} bytes, {seconds:g} s"
    if messages < FEWEST_MESSAGES:
        what = f"the log retains {messages} messages: a page that reconnects has missed more than that, and gets a gap"
        found.add("short-log", what, "leave NITRO_HISTORY_MESSAGES out: it is 10,000 then")
    if seconds < SHORTEST_SECONDS:
        what = f"the log retains messages for {seconds:g} s: a page that is away for longer gets a gap"
        found.add("short-log", what, "leave NITRO_HISTORY_SECONDS out: it is 300 then")


async def _ask(log: Log, seconds: float) -> tuple[Extent, float, Examination | None]:
    async with broker.opened(log, seconds) as extent, asyncio.timeout(seconds):
        first = await log.read(extent.oldest - 1, 1, 0) if extent.oldest <= extent.newest else ()
        examination = await log.examine() if isinstance(log, ExaminableLog) else None
        return extent, first[0].age_seconds if first else 0.0, examination


_REMEDIES: Final = {
    "refused": "change what it says; the rights that the broker's user needs: "
    "https://nitro-realtime.github.io/nitro/how-to/scaling/#rights-on-the-broker",
    "unreachable": "start the broker, or correct its URL; is there a firewall between here and there?",
}
