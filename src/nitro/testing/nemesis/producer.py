"""A producer in a process of its own: `python -m nitro.testing.nemesis.producer --name p1 --journal p1.jsonl`.

It records each message before its emit, and then the outcome, which stays unknown if the process is killed in between.
It takes the broker from `NITRO_BROKER_URL`, and ends on SIGTERM, or with its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import nitro
from nitro.errors import NitroError, Overloaded, PayloadTooLarge
from nitro.settings import get_settings
from nitro.testing.nemesis.database import engine_url
from nitro.testing.nemesis.journal import Journal
from nitro.testing.nemesis.reader import LAST

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["MODES", "Producer"]

MODES: Final = ("one", "burst", "transaction", "last")
"""One `emit_async` after the other; bursts of `emit` and then `flush`; events in transactions of the same database, of
which every fifth is rolled back; or one message at the end, which is retried until it is acknowledged."""
_SIZES: Final = (10, 50, 200, 1_000)
_NEVER_CAME: Final = (PayloadTooLarge, Overloaded)
"""Errors of an emit after which the message was certainly not published."""


class Producer:
    """Emits messages until it is stopped."""

    def __init__(self, name: str, mode: str, rate: float, seed: str, journal: Journal) -> None:
        self.name = name
        self.is_over = False
        self._mode = mode
        self._rate = rate
        self._rng = random.Random(seed)  # noqa: S311 - no secret
        self._journal = journal
        self._n = 0
        self._engine: Engine | None = None

    async def live(self) -> None:
        """Emit `rate` messages a second, until stopped."""
        parent = os.getppid()
        while os.getppid() == parent and not (self.is_over and self._mode != "last"):
            match self._mode:
                case "last":
                    if self.is_over and await self._emit_one(LAST):
                        return
                    await asyncio.sleep(0.02)
                case "burst":
                    emitted = await self._emit_burst()
                    await asyncio.sleep(self._rng.expovariate(self._rate / emitted))
                case "transaction":
                    await asyncio.to_thread(self._emit_in_transaction)
                    await asyncio.sleep(self._rng.expovariate(self._rate))
                case _:
                    await self._emit_one(self._topic())
                    await asyncio.sleep(self._rng.expovariate(self._rate))

    async def _emit_one(self, topic: str) -> bool:
        result = self._next(topic)
        try:
            await nitro.emit_async(topic, self.name, result=result)
        except Exception as error:  # noqa: BLE001 - any error is recorded
            self._write_failure([result["n"]], error)
            await asyncio.sleep(0.05)
            return False
        self._journal.write("acknowledged", result["n"])
        return True

    async def _emit_burst(self) -> int:
        numbers, count = [], self._rng.randrange(2, 40)
        for _ in range(count):
            topic = self._topic()
            result = self._next(topic)
            try:
                nitro.emit(topic, self.name, result=result)
                numbers.append(result["n"])
            except NitroError as error:
                self._write_failure([result["n"]], error)
                await asyncio.sleep(0.1)
        try:
            await asyncio.to_thread(nitro.flush, 10)
        except NitroError as error:
            self._journal.write("unknown", numbers, repr(error))
        else:
            self._journal.write("acknowledged", numbers)
        return count

    def _emit_in_transaction(self) -> None:
        from sqlalchemy import NullPool, create_engine
        from sqlalchemy.orm import Session

        if self._engine is None:
            url, arguments = engine_url(get_settings().broker_url.get_secret_value())
            self._engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
        topic = self._topic()
        result = self._next(topic)
        is_committing, rolls_back = False, self._n % 5 == 0
        try:
            with Session(self._engine) as session:
                nitro.emit(topic, self.name, session=session, result=result)
                if self._rng.random() < 0.1:
                    time.sleep(0.2)
                if rolls_back:
                    session.rollback()
                    self._journal.write("failed", result["n"], "rolled back")
                    return
                is_committing = True
                session.commit()
        except Exception as error:  # noqa: BLE001 - any error is recorded
            self._journal.write("unknown" if is_committing else "failed", result["n"], repr(error)[:300])
            time.sleep(0.05)
        else:
            self._journal.write("acknowledged", result["n"])

    def _topic(self) -> str:
        return f"nemesis.{self._mode}.{self._rng.choice('abc')}"

    def _next(self, topic: str) -> dict[str, Any]:
        """The next message, recorded as tried."""
        self._n += 1
        at = time.monotonic()
        chance = self._rng.random()
        size = 1_000_000 if chance < 0.0005 else 60_000 if chance < 0.005 else self._rng.choice(_SIZES)
        self._journal.write("try", self._n, topic, at=at)
        return {"producer": self.name, "n": self._n, "at": at, "pad": "x" * size}

    def _write_failure(self, numbers: Sequence[int], error: Exception) -> None:
        outcome = "failed" if isinstance(error, _NEVER_CAME) else "unknown"
        self._journal.write(outcome, list(numbers), repr(error)[:300])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--mode", choices=MODES, default="one")
    parser.add_argument("--rate", type=float, default=30.0, help="messages a second")
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    seed = f"{options.seed} {options.name}"
    producer = Producer(options.name, options.mode, options.rate, seed, Journal(options.journal))

    def stop(*_: object) -> None:
        producer.is_over = True

    signal.signal(signal.SIGTERM, stop)
    asyncio.run(producer.live())
    return 0


if __name__ == "__main__":
    sys.exit(main())
