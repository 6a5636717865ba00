"""What the library aims at, judged by one run's medians. A missed one is reported, never hidden."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from across import FLOOD, STEADY
from scenarios import BESIDE, FAN_OUT, FRESH, HALF, LOCKSTEP, OPERATED, PYTHON_PEERS, RESUMING, TICK

Medians = Mapping[tuple[str, str, str, str], float]
"""By scenario, case, server and measure."""


@dataclass(frozen=True, slots=True)
class Target:
    text: str
    measured: str
    is_met: bool


def judge(medians: Medians) -> list[Target]:
    """Each target whose figures were taken in this run."""
    targets = []
    for rule in (
        _burst,
        _operated,
        _sustained,
        _crowd,
        _direct_lockstep,
        _direct_crowd,
        _direct_sustained,
        _direct_connect,
        _direct_idle,
        _idle,
        _rooms,
        _spec,
        _slow,
        _brokers,
        _emit,
        _schemas,
    ):
        try:
            for target in rule(medians):
                targets.append(target)
        except KeyError:  # a figure that this run didn't take; what follows it in the rule needs it as well
            continue
    return targets


def _at_most(text: str, figure: float, limit: float, unit: str, scale: float = 1, decimals: int = 1) -> Target:
    return Target(text, f"{figure * scale:,.{decimals}f} {unit}", figure <= limit)


def _times(text: str, figure: float, least: float, other: str) -> Target:
    return Target(text, f"{figure:.1f} × {other}", figure >= least)


def _burst(m: Medians) -> Iterator[Target]:
    def cpu(server: str) -> float:
        return m["burst", TICK, server, "cpu_us"]

    def rate(server: str) -> float:
        return m["burst", TICK, server, "per_second"]

    yield Target(
        "burst, uvicorn: at most 2.1 × the floor's CPU a delivery",
        f"{cpu('nitro') / cpu('floor'):.2f} × ({cpu('nitro'):.1f} of {cpu('floor'):.1f} µs)",
        cpu("nitro") <= 2.1 * cpu("floor"),
    )
    best = min(PYTHON_PEERS, key=cpu)
    yield _times("burst, uvicorn: at least 2 × the best Python peer", cpu(best) / cpu("nitro"), 2, best)
    for peer, least in (("sse-starlette", 3), ("fastapi", 10)):
        yield _times(f"burst, uvicorn: at least {least} × {peer}", cpu(peer) / cpu("nitro"), least, peer)
    yield _times("burst, granian: at least 3 × nchan's rate", rate("nitro-granian") / rate("nchan"), 3, "nchan")


def _operated(m: Medians) -> Iterator[Target]:
    for case in (TICK, LOCKSTEP):
        more = m["operated", case, OPERATED, "cpu_us"] / m["operated", case, "nitro-direct", "cpu_us"]
        text = f"{case}: metrics, health, inspector and tracing that is off cost at most 2 %"
        yield Target(text, f"{(more - 1) * 100:+.1f} %", more <= 1.02)


def _sustained(m: Medians) -> Iterator[Target]:
    for rate, limit in (("1,000", 30), ("2,000", 60)):
        case = f"{rate} events/s"
        in_time, p99 = (m["sustained", case, "nitro", measure] for measure in ("in_time", "p99_ms"))
        yield Target(
            f"sustained {rate}/s, uvicorn: all delivered, p99 under {limit} ms",
            f"{in_time:.1%} in time, p99 {p99:.1f} ms",
            in_time == 1 and p99 < limit,
        )
    best = max((m["sustained", "1,000 events/s", server, "in_time"], server) for server in PYTHON_PEERS)
    yield Target("sustained 1,000/s: every Python peer falls behind", f"{best[1]} {best[0]:.0%} in time", best[0] < 1)


def _crowd(m: Medians) -> Iterator[Target]:
    def of(server: str, measure: str) -> float:
        return m["crowd", "20 events", server, measure]

    plain, behind = of("nitro-starlette", "connection_kib"), of("nitro", "connection_kib")
    yield Target(
        "crowd, uvicorn: at most 17 KiB a connection",
        f"{plain:.1f} KiB on Starlette, {behind:.1f} behind FastAPI",
        max(plain, behind) <= 17,
    )
    probe = m["crowd", BESIDE, "nitro", "plain_p99_ms"]
    yield _at_most("a plain request beside a crowd at 100 events/s: p99 under 60 ms", probe, 60, "ms")
    for measure, text in (("per_second", "rate"), ("p99_ms", "p99")):
        ratio = of("nitro", measure) / of("nchan", measure)
        is_met = ratio >= 1 if measure == "per_second" else ratio <= 1
        yield Target(f"crowd, uvicorn: {text} no worse than nchan's", f"{ratio:.2f} × nchan", is_met)
    ratio = of("nitro-granian", "per_second") / of("nchan", "per_second")
    yield _times("crowd, granian: at least 1.3 × nchan's rate", ratio, 1.3, "nchan")


def _ratio(m: Medians, place: tuple[str, str], measure: str, other: str) -> float:
    """Of direct streams to another server."""
    return m[*place, "nitro-direct", measure] / m[*place, other, measure]


def _direct_lockstep(m: Medians) -> Iterator[Target]:
    for other, limit in (("floor", 1.6), ("nchan", 0.75)):
        ratio = _ratio(m, ("burst", LOCKSTEP), "cpu_us", other)
        yield Target(f"direct, lockstep: CPU at most {limit:g} × {other}'s", f"{ratio:.2f} ×", ratio <= limit)


def _direct_crowd(m: Medians) -> Iterator[Target]:
    kib = m["crowd", "20 events", "nitro-direct", "connection_kib"]
    ratio = _ratio(m, ("crowd", "20 events"), "connection_kib", "nchan")
    yield Target(
        "direct, crowd: at most 5 KiB a connection behind FastAPI, and half of nchan's",
        f"{kib:.1f} KiB, {ratio:.2f} × nchan",
        kib <= 5 and ratio <= 0.5,
    )
    for other, limit in (("nchan", 1), ("nitro", 0.6)):
        cpu, p99 = (_ratio(m, ("crowd", HALF), measure, other) for measure in ("cpu_us", "p99_ms"))
        yield Target(
            f"direct, crowd, {HALF}: CPU and p99 at most {limit:g} × {other}'s",
            f"{cpu:.2f} ×, {p99:.2f} ×",
            max(cpu, p99) <= limit,
        )


def _direct_sustained(m: Medians) -> Iterator[Target]:
    place = ("sustained", "1,000 events/s")
    ratio, in_time = _ratio(m, place, "p99_ms", "nitro"), m[*place, "nitro-direct", "in_time"]
    yield Target(
        "direct, sustained 1,000/s: all delivered, p99 at most 0.5 × nitro's",
        f"{in_time:.1%} in time, {ratio:.2f} ×",
        in_time == 1 and ratio <= 0.5,
    )


def _direct_connect(m: Medians) -> Iterator[Target]:
    for case in (FRESH, RESUMING):
        ratio = _ratio(m, ("connect", case), "connect_seconds", "nitro")
        yield Target(f"direct, connect, {case}: at most 0.4 × nitro's time", f"{ratio:.2f} ×", ratio <= 0.4)


def _direct_idle(m: Medians) -> Iterator[Target]:
    ratio = _ratio(m, ("idle", ""), "idle_busy", "nitro")
    yield Target("direct, idle: at most 0.6 × nitro's CPU", f"{ratio:.2f} ×", ratio <= 0.6)


def _idle(m: Medians) -> Iterator[Target]:
    busy = m["idle", "", "nitro", "idle_busy"]
    yield _at_most("idle, 10,000 subscribers: under 1 % of a core", busy, 0.01, "%", 100, 2)


def _rooms(m: Medians) -> Iterator[Target]:
    def cost(kind: str, count: str) -> float:
        return m["rooms", f"{kind}, {count}", "nitro", "emit_us"]

    for kind in ("senders", "exact topics", "user patterns"):
        few, many = cost(kind, "10"), cost(kind, "100,000")
        yield Target(
            f"rooms, {kind}: under 10 µs an emit, flat to 100,000",
            f"{few:.1f} µs at 10, {many:.1f} µs at 100,000",
            many < 10 and many < 1.25 * few,
        )


def _spec(m: Medians) -> Iterator[Target]:
    for case in (TICK, LOCKSTEP):
        own, polled, queue = (m["spec", case, server, "cpu_us"] for server in ("stream", "polled", "queue-json"))
        yield _times(f"spec, {case}: at least 1.8 × one polled queue a client", polled / own, 1.8, "polled")
        yield _times(f"spec, {case}: no worse than a Queue with the same JSON work", queue / own, 1, "queue")


def _slow(m: Medians) -> Iterator[Target]:
    def of(case: str, measure: str) -> float:
        return m["slow", case, "nitro", measure]

    ratio = of("100 stop reading", "p99_ms") / of("all read", "p99_ms")
    yield Target("slow: p99 of the others unchanged within 20 %", f"{ratio:.2f} ×", ratio <= 1.2)
    grown = of("100 stop reading", "grown_mib") - of("all read", "grown_mib")
    yield _at_most("slow: memory bounded by 1 MiB a stopped client", grown, 100, "MiB")


def _brokers(m: Medians) -> Iterator[Target]:
    wanted = {"redis": (15_000, 1.5), "nats": (15_000, 1.5), "postgresql": (5_000, 5), "sqlite": (5_000, 2)}
    for kind, (rate, p50) in wanted.items():
        per_second = m["brokers", FLOOD, f"across-{kind}", "per_second"]
        p50_ms = m["brokers", STEADY, f"across-{kind}", "p50_ms"]
        yield Target(
            f"brokers, {kind}: at least {rate:,} events/s across, p50 under {p50:g} ms at 100/s",
            f"{per_second:,.0f}/s, {p50_ms:.2f} ms",
            per_second >= rate and p50_ms < p50,
        )
    idle = m["brokers", STEADY, "across-sqlite", "idle_busy"]
    yield _at_most("brokers, sqlite: an idle process under 0.1 % of a core", idle, 0.001, "%", 100, 2)
    ratio = m["brokers", FAN_OUT, "fan-out-redis", "in_time"] / m["brokers", FAN_OUT, "fan-out", "in_time"]
    yield Target(
        "brokers: a stream from Redis to 1,000 clients holds 90 % of the rate in memory", f"{ratio:.2f} ×", ratio >= 0.9
    )


def _emit(m: Medians) -> Iterator[Target]:
    for place in ("the loop", "a thread"):
        cost = m["emit", f"0 handlers, from {place}", "nitro", "emit_us"]
        yield _at_most(f"emit with nobody listening, from {place}: under 5 µs", cost, 5, "µs")


def _schemas(m: Medians) -> Iterator[Target]:
    for what in ("a dict", "a model"):
        typed, plain = (m["schemas", f"{way} a schema, {what}", "nitro", "emit_us"] for way in ("with", "without"))
        text = f"emit of {what} with a schema: at most 10 % more than without"
        yield Target(text, f"{(typed / plain - 1) * 100:+.1f} %", typed <= 1.1 * plain)
