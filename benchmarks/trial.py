"""One trial: a fresh server, its subscribers, a warm-up, and runs that are checked and measured.

Fed by `fanout.py` with a `Load`, which gets an `Outcome` for each pace back.
"""

from dataclasses import dataclass

from process import BenchmarkError, LoadClient, Server, serving, subscribed

COUNTED = ("delivered", "lost", "doubled", "out_of_order", "gaps", "foreign", "ended")
LEAST_WARM_UP_EVENTS = 10

LOCKSTEP = "lockstep"
"""The next event once every subscriber has the last: one write an event for every server."""
TICK = "tick"
"""One event a tick of the server's loop, whether the last has arrived or not."""
PACES = (LOCKSTEP, TICK)


@dataclass(frozen=True, slots=True)
class Load:
    """What every server of one comparison is given. `gap_seconds` is between the events of the tick pace."""

    subscribers: int
    events: int
    gap_seconds: float
    timeout_seconds: float
    server_core: int
    client_core: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run measured.

    `writes_per_delivery` below 1: the server joined events into one write. `server_busy` and `client_busy`
    are shares of a core; a client near 1 was itself the limit. `gaps` counts gap frames, `foreign` events
    that are not this run's, `ended` streams that the server closed.
    """

    server: str
    pace: str
    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    writes_per_delivery: float
    bytes_per_delivery: float
    server_busy: float
    client_busy: float
    counts: dict[str, int]

    def faults(self) -> str:
        """What was wrong, in words; nothing when every subscriber got every event once, in order."""
        wrong = {name: count for name, count in self.counts.items() if count and name != "delivered"}
        return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in wrong.items())


def trial(name: str, load: Load) -> list[Outcome]:
    """Start, subscribe, warm up with a tenth of the events, run each pace, end.

    A wrong run ends the trial and is the last outcome, the warm-up's too.
    """
    warm_up_events = max(LEAST_WARM_UP_EVENTS, load.events // 10)
    with (
        serving(name, load.server_core) as server,
        subscribed(server, load.subscribers, load.client_core) as client,
    ):
        warm_up = _run(server, client, load, TICK, warm_up_events)
        if warm_up.faults():
            return [warm_up]
        outcomes: list[Outcome] = []
        for pace in PACES:
            outcomes.append(_run(server, client, load, pace, load.events))
            if outcomes[-1].faults():
                break
        return outcomes


def _run(server: Server, client: LoadClient, load: Load, pace: str, events: int) -> Outcome:
    events_a_fire = 1 if pace == LOCKSTEP else events
    gap_seconds = 0.0 if pace == LOCKSTEP else load.gap_seconds
    cpu_before = server.cpu_seconds()
    seen = client.run(events, events_a_fire, gap_seconds, load.timeout_seconds)
    cpu_seconds = server.cpu_seconds() - cpu_before
    if seen["fire_status"] not in (0, 200):  # 0: no answer yet when the time was up; the losses say so
        raise BenchmarkError(
            f"{server.name}: GET /fire answered {seen['fire_status']}; see benchmarks/build/{server.name}.log"
        )
    delivered = max(1, seen["delivered"])
    span_seconds = max(1e-9, seen["span_seconds"])
    return Outcome(
        server=server.name,
        pace=pace,
        cpu_us=cpu_seconds / delivered * 1e6,
        per_second=delivered / span_seconds,
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        max_ms=seen["max_ms"],
        writes_per_delivery=seen["writes"] / delivered,
        bytes_per_delivery=seen["bytes"] / delivered,
        server_busy=cpu_seconds / span_seconds,
        client_busy=seen["client_busy"],
        counts={name: int(seen[name]) for name in COUNTED},
    )
