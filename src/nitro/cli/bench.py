"""`nitro bench`: a stream as its clients see it, measured by many of them: its checks, its progress and its result."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

import nitro
from nitro.cli import broker
from nitro.cli.failures import AWAY, WRONG, fail, failures_told, tell
from nitro.cli.figures import Figures
from nitro.cli.load import Load, Offer
from nitro.cli.run import raise_limit_of_files
from nitro.cli.screen import Screen
from nitro.errors import StreamRefused
from nitro.messages.topics import check_topic
from nitro.redaction import without_secrets
from nitro.settings import get_settings

__all__ = ["chosen_broker", "run"]

_OTHER_FILES: Final = 50
"""So many files are open beside the streams."""
_REFRESH_SECONDS: Final = 0.25


def chosen_broker(url: str | None) -> str | None:
    """The broker to emit by: the option's, or that of `NITRO_BROKER_URL`; None if neither is there."""
    with failures_told():
        is_given = url is not None or get_settings().broker_url.get_secret_value() != "memory://"
    return broker.choose(url, must_exist=False) if is_given else None


def run(offer: Offer, broker_url: str | None, seconds: float) -> int:
    """Measure, and show the figures; returns the exit code. `seconds` is how long to wait for the broker."""
    with failures_told():
        nitro.listen(offer.url, offer.topics, headers=offer.headers)  # checks them
        if offer.emits is not None:
            check_topic(offer.emits)
        _check_files(offer.clients)
        load = Load(offer)
        if broker_url is not None:
            broker.connect(broker_url, seconds)
    try:
        asyncio.run(_watched(load, offer))
    except KeyboardInterrupt:  # the second one
        load.figures.is_interrupted = True
    _show(load.figures, offer, broker_url)
    if load.figures.emitted and not load.figures.kept_up:
        lag = load.figures.lags.percentile_ms(99) or 0.0
        tell(
            f"this process was late by itself, {lag:.0f} ms at p99, so the latencies are not the server's and are "
            "left out; take fewer --clients, a lower --rate, or a machine that has nothing else to do"
        )
    if load.figures.is_interrupted:
        return 130
    _fail_if_wrong(load, offer)
    return 0


def _fail_if_wrong(load: Load, offer: Offer) -> None:
    """Tell what makes the figures those of no working stream."""
    figures = load.figures
    if not figures.connected:
        _fail_for(load, offer)
    if load.broker_error is not None:
        fail(f"not all events are in the log: {load.broker_error}", AWAY)
    if not figures.open:
        fail(f"all streams ended before the time: {_reasons(dict(figures.ended))}", AWAY)
    if figures.emitted and not figures.delivered:
        fail(
            f"nobody heard {offer.emits}: let the endpoint allow it or pass another --topic, and compare its "
            "NITRO_BROKER_URL and NITRO_NAMESPACE with those of this command",
            AWAY,
        )


def _check_files(clients: int) -> None:
    allowed, needed = raise_limit_of_files(), clients + _OTHER_FILES
    if needed > allowed:
        fail(
            f"{clients:,} clients need {needed:,} open files, and this shell allows {allowed:,}: "
            f"`ulimit -n {needed}` before it, or at most --clients {max(1, allowed - _OTHER_FILES)}",
            WRONG,
        )


def _fail_for(load: Load, offer: Offer) -> NoReturn:
    """Nobody has got a stream: tell why the first one didn't."""
    if isinstance(load.refusal, StreamRefused):
        with failures_told():
            raise load.refusal
    why = str(load.refusal) or type(load.refusal).__name__
    fail(f"{without_secrets(offer.url)} can't be reached: {why}", AWAY)


async def _watched(load: Load, offer: Offer) -> None:
    """Run it, with its progress on stderr, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return await load.run()
    count = TextColumn("{task.completed:,.0f} of {task.total:,g} {task.fields[unit]}")
    columns = TextColumn("{task.description}"), BarColumn(), count
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        watching = asyncio.create_task(_watch(progress, load.figures, offer), name="nitro-bench-progress")
        try:
            await load.run()
        finally:
            watching.cancel()


async def _watch(progress: Progress, figures: Figures, offer: Offer) -> None:
    connecting = progress.add_task("connecting", total=offer.clients, unit="clients")
    measuring = progress.add_task("measuring", total=round(offer.seconds, 1), unit="s", visible=False)
    loop, began = asyncio.get_running_loop(), None
    while True:
        progress.update(connecting, completed=figures.decided)
        if figures.is_measuring:
            began = began or loop.time()
            progress.update(measuring, completed=round(loop.time() - began, 1), visible=True)
        progress.refresh()
        await asyncio.sleep(_REFRESH_SECONDS)


def _show(figures: Figures, offer: Offer, broker_url: str | None) -> None:
    screen = Screen()
    if screen.is_terminal:
        screen.table({name: (None, shown) for name, shown in _rows(figures, offer, broker_url).items()})
        return
    values: dict[str, Any] = {
        "url": without_secrets(offer.url),
        "mode": "emitting" if broker_url else "listening",
        "broker": without_secrets(broker_url) if broker_url else None,
        "topic": offer.emits,
        "rate_per_second": offer.rate if offer.emits else None,
        **figures.as_dict(),
    }
    screen.table({name: (value, None) for name, value in values.items()})


def _rows(figures: Figures, offer: Offer, broker_url: str | None) -> dict[str, str | None]:
    """As people read it."""
    value = figures.as_dict()
    is_emitting = broker_url is not None
    latency = _milliseconds(value, "latency", "p50", "p90", "p99", "max") or "- (this process was too slow itself)"
    share = f" ({figures.delivered / figures.expected:.2%})" if figures.expected else ""
    refused = f", {figures.refused:,} refused" if figures.refused else ""
    return {
        "stream": without_secrets(offer.url),
        "load": f"{offer.rate:g} events/s of {offer.emits} by {without_secrets(broker_url)}"
        if broker_url
        else "none: without --broker nothing is emitted",
        "connected": f"{figures.connected:,} of {figures.clients:,}",
        "failed": _reasons(value["failed_by_reason"]),
        "ended early": _reasons(value["ended_by_reason"]),
        "connect": _milliseconds(value, "connect", "p50", "p99", "max"),
        "measured": f"{figures.seconds:.1f} s{', interrupted' if figures.is_interrupted else ''}",
        "events": f"{figures.offered:,} offered, {figures.emitted:,} emitted{refused}" if is_emitting else None,
        "delivered": f"{figures.delivered:,} of {figures.expected:,}{share}" if is_emitting else None,
        "lost": f"{figures.lost:,}" if is_emitting else None,
        "gaps": f"{figures.gaps:,}",
        "latency": latency if is_emitting and figures.delivered else None,
        "heard": f"{value['messages_per_second'] or 0:,} messages/s, {value['megabytes_per_second'] or 0} MB/s",
        "own lag": f"p99 {value['generator_lag_p99_ms']:.1f} ms" if figures.lags.count else None,
    }


def _reasons(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{count:,} × {reason}" for reason, count in counts.items()) or None


def _milliseconds(value: dict[str, Any], what: str, *names: str) -> str | None:
    found = [(name, value[f"{what}_{name}_ms"]) for name in names]
    return None if found[0][1] is None else "  ".join(f"{name} {ms:.1f} ms" for name, ms in found)
