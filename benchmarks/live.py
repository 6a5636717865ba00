"""What `live=True` costs: `save()` of an entity with it and without it, in turns, on SQLite with the log in its file.

`python benchmarks/live.py`, in the environment that `make bench` makes. It prints the median time of a save of each,
and the median of the ratios of the rounds. The live one's events are also read and routed by this process.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import nitro


class Plain(nitro.Entity, table=True):
    title: str
    completed: bool = False


class Live(nitro.Entity, table=True, live=True):
    title: str
    completed: bool = False


def saves_us(entity: Plain | Live, times: int) -> float:
    """The median time of an update."""
    taken = []
    for n in range(times):
        entity.title = str(n)
        began = time.perf_counter()
        entity.save()
        taken.append(time.perf_counter() - began)
    return median(taken) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--saves", type=int, default=300, help="in each round, of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["NITRO_DB_URL"] = os.environ["NITRO_BROKER_URL"] = f"sqlite:///{Path(directory) / 'live.db'}"
        Plain._repository.init_db()
        nitro.connect_broker()
        plain, live = Plain(title="").save(), Live(title="").save()
        rounds = [(saves_us(plain, options.saves), saves_us(live, options.saves)) for _ in range(options.rounds)]
    print(f"without: {median(one for one, _ in rounds):.0f} µs; live: {median(one for _, one in rounds):.0f} µs")
    print(f"ratio: {median(live / plain for plain, live in rounds):.2f}")


if __name__ == "__main__":
    main()
