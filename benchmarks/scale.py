"""A model of more than one machine: what so many connections at such a rate of events need.

`python benchmarks/scale.py` prints a table of some cases; with options, one row for figures of your own:
`python benchmarks/scale.py --connections 250000 --events 500 --hearers 20 --host-cores 16`. `docs/about/scale.md` says
how to read it, and where the constants are from; each can be replaced by an option of its name.
"""

import argparse
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from math import ceil, log

ALONE_EVENTS = 100
JOINED_EVENTS = 1_000
FLOOD_EVENTS = 16_000
"""The rates a second at which the cost of an entry was measured."""
USABLE_MEMORY = 0.8


@dataclass(frozen=True)
class Load:
    """What is asked for.

    Attributes:
        connections: of all hosts together.
        events: a second, in all.
        hearers: clients that hear each event.
        groups: in how many groups the processes are, each with a namespace and a log of its own, and with the clients
            that hear it.
        logs: how many logs each process reads, if a namespace were spread over several. Nitro reads one.
    """

    connections: float
    events: float
    hearers: float
    groups: int = 1
    logs: int = 1


CASES = (
    Load(100_000, 100, 10),
    Load(100_000, 1_000, 10),
    Load(100_000, 10, 100_000),
    Load(1_000_000, 100, 10),
    Load(1_000_000, 1_000, 10),
    Load(1_000_000, 10_000, 10),
    Load(1_000_000, 1, 1_000_000),
    Load(10_000_000, 1_000, 10),
    Load(10_000_000, 10_000, 10),
    Load(10_000_000, 100_000, 10),
    Load(10_000_000, 1, 10_000_000),
)


@dataclass(frozen=True)
class Constants:
    """What was measured, and what a host and a process are allowed.

    Attributes:
        write_us: CPU time of one write to one client; on loopback, so the receiver's TCP is in it.
        hear_us: CPU time that an event takes beyond its writes in a process that has somebody for it, at 100 a second.
        hear_joined_us: the same at 1,000 a second.
        read_us: CPU time that an entry takes in a process that has nobody for it, at 100 a second.
        read_joined_us: the same at 1,000 a second.
        read_flood_us: the same at 16,000 a second, at most.
        broker_us: CPU time that an entry takes in the broker for each process that reads it, at 100 a second.
        broker_joined_us: the same at 1,000 a second.
        entry_bytes: bytes of an entry on the wire.
        connection_kib: memory of a connection in the process.
        kernel_kib: memory of a connection in the kernel, with empty buffers.
        process_mib: memory of a process without connections and history.
        history_messages: NITRO_HISTORY_MESSAGES; each process has them in memory.
        message_kib: memory of one of them.
        heartbeat_seconds: NITRO_HEARTBEAT_SECONDS.
        process_connections: the most that a process is given.
        host_cores, host_gib: a host. It runs as many processes as it has cores.
        busy: which share of its core a process may take on average.
    """

    write_us: float = 13.5
    hear_us: float = 199
    hear_joined_us: float = 44
    read_us: float = 246
    read_joined_us: float = 65
    read_flood_us: float = 36
    broker_us: float = 26.4
    broker_joined_us: float = 12.3
    entry_bytes: float = 300
    connection_kib: float = 3.4
    kernel_kib: float = 5
    process_mib: float = 60
    history_messages: float = 10_000
    message_kib: float = 0.5
    heartbeat_seconds: float = 15
    process_connections: float = 50_000
    host_cores: float = 8
    host_gib: float = 32
    busy: float = 0.6


@dataclass(frozen=True)
class Need:
    """What is needed, all groups and hosts together.

    Attributes:
        reading: share of a core that reading takes in each process.
        processes: 0 if no number of them is enough.
    """

    writes_per_second: float
    reading: float
    processes: int = 0
    cores_of_clients: float = 0
    hosts: int = 0
    memory_gib: float = 0
    broker_cores: float = 0
    broker_mib_per_second: float = 0


def need(load: Load, of: Constants) -> Need:
    """What a load needs. An event that has hearers in several groups is emitted in each of these."""
    groups = load.groups
    copies = max(1, min(groups, ceil(load.hearers * groups / load.connections)))
    connections, events = load.connections / groups, load.events * copies / groups
    hearers = min(load.hearers / copies, connections)

    writes = events * hearers + connections / of.heartbeat_seconds
    entry_us = _between(events / load.logs, (of.read_us, of.read_joined_us, of.read_flood_us))
    reading = events * entry_us / 1e6

    def of_clients(processes: int) -> float:
        """Cores that hand events to clients: their writes, and the wake-ups of the processes that have a hearer."""
        heard = events * (1 - (1 - 1 / processes) ** hearers)
        return (writes * of.write_us + processes * heard * _between(heard, (of.hear_us, of.hear_joined_us))) / 1e6

    def is_enough(processes: int) -> bool:
        return of_clients(processes) <= processes * (of.busy - reading)

    fewest, most = max(1, ceil(connections / of.process_connections)), max(1, ceil(connections))
    if reading >= of.busy or not is_enough(most):
        return Need(writes * groups, reading)
    processes = fewest + bisect_left(range(fewest, most), x=True, key=is_enough)

    process_kib = of.process_mib * 1024 + of.history_messages * of.message_kib
    memory_gib = (connections * (of.connection_kib + of.kernel_kib) + processes * process_kib) / 2**20
    hosts = max(groups * processes / of.host_cores, groups * memory_gib / (of.host_gib * USABLE_MEMORY))
    broker_us = _between(events / load.logs, (of.broker_us, of.broker_joined_us))
    return Need(
        writes_per_second=writes * groups,
        reading=reading,
        processes=processes * groups,
        cores_of_clients=of_clients(processes) * groups,
        hosts=ceil(hosts),
        memory_gib=memory_gib * groups,
        broker_cores=events * processes * broker_us / 1e6 * groups,
        broker_mib_per_second=events * processes * of.entry_bytes / 2**20 * groups,
    )


def _between(rate: float, costs_us: tuple[float, ...]) -> float:
    """What an entry costs at a rate, of what it costs at the rates that were measured.

    Between two of them cost is a straight line if both axes are logarithmic, so that more entries never cost less in
    all; outside it is that of the nearest.
    """
    measured = list(zip((ALONE_EVENTS, JOINED_EVENTS, FLOOD_EVENTS), costs_us, strict=False))
    for (slower, slower_us), (faster, faster_us) in pairwise(measured):
        if rate <= slower:
            return slower_us
        if rate < faster:
            share = log(rate / slower) / log(faster / slower)
            return float(slower_us ** (1 - share) * faster_us**share)
    return costs_us[-1]


HEADINGS = (
    "connections",
    "events/s",
    "heard by",
    "writes/s",
    "cores for clients",
    "cores for reading",
    "processes",
    "connections each",
    "hosts",
    "memory GiB",
    "broker's cores",
    "broker sends MiB/s",
)


def rows(loads: Iterable[Load], of: Constants) -> Iterator[str]:
    """A table in Markdown."""
    yield _row(HEADINGS)
    yield _row(["---:"] * len(HEADINGS))
    for load in loads:
        found = need(load, of)
        asked = [load.connections, load.events, load.hearers, found.writes_per_second]
        cells = [f"{number:,.0f}" for number in asked]
        if not found.processes:
            yield _row([*cells, "–", f"{found.reading:.1f} in each: too much", *["–"] * 6])
            continue
        cells += [f"{found.cores_of_clients:,.1f}", f"{found.reading * found.processes:,.1f}"]
        cells += [f"{found.processes:,}", f"{load.connections / found.processes:,.0f}", f"{found.hosts:,}"]
        cells += [f"{found.memory_gib:,.1f}", f"{found.broker_cores:,.2f}", f"{found.broker_mib_per_second:,.1f}"]
        yield _row(cells)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=float, help="in all; without it, a table of some cases")
    parser.add_argument("--events", type=float, default=100, help="a second, in all")
    parser.add_argument("--hearers", type=float, default=10, help="clients that hear each event")
    parser.add_argument("--groups", type=int, default=1, help="of processes, each with a log of its own")
    parser.add_argument("--logs", type=int, default=1, help="that each process would read")
    for field in fields(Constants):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, default=field.default)
    options = vars(parser.parse_args())
    constants = Constants(**{field.name: options[field.name] for field in fields(Constants)})
    own = Load(**{field.name: options[field.name] for field in fields(Load)}) if options["connections"] else None
    print("\n".join(rows([own] if own else CASES, constants)))


if __name__ == "__main__":
    main()
