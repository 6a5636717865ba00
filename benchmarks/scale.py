"""A model of more than one machine: what so many connections at such a rate of events need.

`python benchmarks/scale.py` prints a table of some cases; with options, one for figures of your own:
`python benchmarks/scale.py --connections 250000 --events 500 --hearers 20 --host-cores 16`. The defaults of the
constants are what `bench.py` and `readers.py` measured on two cores; each can be replaced by an option of its name.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from math import ceil

CASES = (
    # connections, events a second in all, clients that hear each
    (100_000, 100, 10),
    (100_000, 1_000, 10),
    (100_000, 10, 100_000),
    (1_000_000, 1_000, 10),
    (1_000_000, 10_000, 10),
    (1_000_000, 1, 1_000_000),
    (10_000_000, 10_000, 10),
    (10_000_000, 100_000, 10),
    (10_000_000, 1, 10_000_000),
)


@dataclass(frozen=True)
class Constants:
    """What was measured, and how much of a machine may be used.

    Attributes:
        write_us: CPU time of one write to one client; on loopback, so the receiver's TCP is in it.
        connection_kib: memory of a connection in the process.
        kernel_kib: memory of a connection in the kernel, with empty buffers.
        process_mib: memory of a process without connections.
        heartbeat_seconds: NITRO_HEARTBEAT_SECONDS.
        read_us: CPU time that an entry takes in a process that has nobody for it, when entries come one by one.
        read_joined_us: the same when they come in batches.
        joined_from: entries a second from which on they do.
        broker_append_us: CPU time that an entry takes in the broker.
        broker_read_us: CPU time that each process which reads an entry takes there.
        entry_bytes: bytes of an entry on the wire.
        host_cores, host_gib: a host.
        busy: which share of a core may be in use.
    """

    write_us: float = 13
    connection_kib: float = 4
    kernel_kib: float = 5
    process_mib: float = 60
    heartbeat_seconds: float = 15
    read_us: float = 400
    read_joined_us: float = 45
    joined_from: float = 1_000
    broker_append_us: float = 60
    broker_read_us: float = 20
    entry_bytes: float = 250
    host_cores: int = 8
    host_gib: float = 32
    busy: float = 0.6


@dataclass(frozen=True)
class Need:
    """What is needed, all hosts together."""

    writes_per_second: float
    cores_of_writes: float
    cores_of_reading: float
    processes: int
    hosts: int
    memory_gib: float
    broker_cores: float
    broker_mib_per_second: float


def need(connections: float, events: float, hearers: float, of: Constants) -> Need:
    """For events of which each is heard by so many clients.

    Each process reads every entry, so its share of a core for its clients is what reading leaves. Where reading leaves
    none, no number of processes is enough: `processes` is 0.
    """
    writes = events * min(hearers, connections) + connections / of.heartbeat_seconds
    cores_of_writes = writes * of.write_us / 1e6
    joined = min(1.0, events / of.joined_from)
    per_entry_us = of.read_us + (of.read_joined_us - of.read_us) * joined
    reading = events * per_entry_us / 1e6
    left = of.busy - reading
    memory_kib = connections * (of.connection_kib + of.kernel_kib)
    if left <= 0:
        return Need(writes, cores_of_writes, reading, 0, 0, memory_kib / 2**20, 0, 0)
    per_host_kib = of.host_gib * 2**20 * 0.8 - of.host_cores * of.process_mib * 1024
    processes = max(1, ceil(cores_of_writes / left), ceil(memory_kib / per_host_kib * of.host_cores))
    hosts = ceil(processes / of.host_cores)
    return Need(
        writes_per_second=writes,
        cores_of_writes=cores_of_writes,
        cores_of_reading=reading * processes,
        processes=processes,
        hosts=hosts,
        memory_gib=memory_kib / 2**20 + processes * of.process_mib / 1024,
        broker_cores=events * (of.broker_append_us + of.broker_read_us * processes) / 1e6,
        broker_mib_per_second=events * of.entry_bytes * processes / 2**20,
    )


HEADINGS = (
    "connections",
    "events/s",
    "heard by",
    "writes/s",
    "cores for writes",
    "cores for reading",
    "processes",
    "hosts",
    "memory GiB",
    "broker's cores",
    "broker sends MiB/s",
)


def rows(cases: Iterable[tuple[float, float, float]], of: Constants) -> Iterator[str]:
    """A table in Markdown."""
    yield _row(HEADINGS)
    yield _row(["---:"] * len(HEADINGS))
    for connections, events, hearers in cases:
        found = need(connections, events, hearers, of)
        numbers = [f"{number:,.0f}" for number in (connections, events, hearers, found.writes_per_second)]
        if not found.processes:
            reading = f"{found.cores_of_reading:.1f} in each process: too much for one log"
            yield _row([*numbers, f"{found.cores_of_writes:,.1f}", reading, *["–"] * 5])
            continue
        cores = [f"{found.cores_of_writes:,.1f}", f"{found.cores_of_reading:,.1f}"]
        hosts = [str(found.processes), str(found.hosts), f"{found.memory_gib:,.1f}"]
        yield _row([*numbers, *cores, *hosts, f"{found.broker_cores:,.1f}", f"{found.broker_mib_per_second:,.0f}"])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=float)
    parser.add_argument("--events", type=float, default=100, help="a second, in all")
    parser.add_argument("--hearers", type=float, default=10, help="clients that hear each event")
    for field in fields(Constants):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, default=field.default)
    options = vars(parser.parse_args())
    constants = Constants(**{field.name: options[field.name] for field in fields(Constants)})
    own = options["connections"]
    cases = [(own, options["events"], options["hearers"])] if own else CASES
    print("\n".join(rows(cases, constants)))


if __name__ == "__main__":
    main()
