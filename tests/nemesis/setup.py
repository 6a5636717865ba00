"""A set-up of servers, and the faults that know them. docs/how-to/scaling.md says which may lose messages."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Generic, Self, TypeVar

from nitro.testing.nemesis import Fault
from nitro.testing.nemesis.fault import LONG, SOON
from tests.brokers import Broker, extent_of
from tests.services import Service

__all__ = ["LONG", "SOON", "SetUp", "Single", "at_once", "foreign_hands", "holding", "lasting", "server_faults"]


class SetUp:
    """Servers, started and ended by `with`, the URL by which they are reached, and what can happen to them."""

    kind: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.namespace = f"nemesis-{secrets.token_hex(4)}"
        self.stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        raise NotImplementedError

    def faults(self) -> list[Fault]:
        """Those that know these servers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the servers; `self.stack` ends them."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.push(self.stack)
            self.start()
            stack.pop_all()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stack.close()


B = TypeVar("B", bound=Broker)


class Single(SetUp, Generic[B]):
    """One broker, as the other tests have it."""

    def __init__(self, directory: Path, broker: B) -> None:
        super().__init__(directory)
        self.broker = broker

    @property
    def url(self) -> str:
        return self.broker.url

    def start(self) -> None:
        self.stack.enter_context(self.broker)


def nothing() -> None:
    """Nothing has to be waited for."""


def at_once(
    name: str,
    act: Callable[[random.Random], object],
    *,
    may_lose: bool = False,
    get_ready: Callable[[], object] = nothing,
) -> Fault:
    """A fault that needs no healing."""

    @contextlib.contextmanager
    def strike(rng: random.Random) -> Iterator[None]:
        act(rng)
        yield

    return Fault(name, strike, may_lose, holds=(0.0,), get_ready=get_ready)


def lasting(
    name: str,
    begin: Callable[[], object],
    end: Callable[[], object],
    *,
    may_lose: bool = False,
    holds: Sequence[float] = SOON,
) -> Fault:
    """A fault that begins, and ends."""

    @contextlib.contextmanager
    def strike(_: random.Random) -> Iterator[None]:
        try:
            begin()
            yield
        finally:
            end()

    return Fault(name, strike, may_lose, holds)


def holding(
    name: str,
    hold: Callable[[], AbstractContextManager[object]],
    *,
    may_lose: bool = False,
    holds: Sequence[float],
    get_ready: Callable[[], object] = nothing,
) -> Fault:
    """A fault that lasts as long as something is held."""
    return Fault(name, lambda _: hold(), may_lose, holds, get_ready=get_ready)


def server_faults(name: str, server: Service, *, may_lose: bool = False) -> list[Fault]:
    """Those of every server that is one process or a family of them.

    Args:
        may_lose: whether it forgets with its process what it has acknowledged.
    """

    def end(_: random.Random) -> None:
        server.end()
        server.start()

    return [
        lasting(f"{name}-kill", lambda: server.end(9), server.start, may_lose=may_lose),
        at_once(f"{name}-restart", end, may_lose=may_lose),
        lasting(f"{name}-freeze", server.freeze, server.thaw, holds=LONG),
    ]


def foreign_hands(broker: Broker, namespace: str) -> list[Fault]:
    """What an administrator does to a log who knows nothing of us."""

    def trim(rng: random.Random) -> None:
        (extent,) = asyncio.run(extent_of(broker.log(namespace)))
        broker.trim(namespace, extent.newest - rng.choice((0, 3, 50)))

    def trim_often(rng: random.Random) -> None:
        for _ in range(4):
            trim(rng)
            time.sleep(0.2)

    return [
        at_once("log-wiped", lambda _: broker.wipe(namespace), may_lose=True),
        at_once("log-trimmed", trim, may_lose=True),
        at_once("log-trimmed-often", trim_often, may_lose=True),
    ]
