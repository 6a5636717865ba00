"""The broker of a command: which one it is, and whether it is there."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import nitro
from nitro.brokers.base import Extent, Log
from nitro.brokers.sqlite.file import path_of
from nitro.brokers.urls import kind_of
from nitro.cli.failures import WRONG, fail, failures_told
from nitro.errors import BrokerRefused, BrokerUnavailable, ConfigurationError
from nitro.settings import get_settings

__all__ = ["choose", "connect", "opened"]


def choose(url: str | None, *, must_exist: bool, may_be_memory: bool = False, otherwise: str = "") -> str:
    """The URL of the command's broker: the option's, or that of `NITRO_BROKER_URL`.

    Args:
        url: the option; None if it wasn't given.
        must_exist: whether a file that isn't there is a mistake.
        may_be_memory: whether the command has something to do without a log that others can reach.
        otherwise: what else the command could be given.
    """
    with failures_told(), _named_by_option(url):
        chosen = url or get_settings().broker_url.get_secret_value()
        is_file = must_exist and kind_of(chosen) == "sqlite"
        if is_file and not os.path.exists(path_of(chosen)):  # else it would be made
            fail(f"there is no file {path_of(chosen)}; --broker takes the URL that the application has", WRONG)
    if chosen == "memory://" and not may_be_memory:
        fail(
            f"which broker? The log of memory:// is in each process alone; pass {otherwise}--broker "
            "sqlite:///events.db, redis://…, nats://… or postgresql://…, or set NITRO_BROKER_URL",
            WRONG,
        )
    return chosen


def connect(url: str, seconds: float) -> None:
    """Connect this process to the broker.

    Raises:
        ConfigurationError, BrokerRefused: it can't be used as it is configured.
        BrokerUnavailable: it is away.
    """
    logging.getLogger("nitro").addHandler(logging.NullHandler())  # the error says it, in one line
    nitro.configure(broker=url)
    with _named_by_option(None if url == get_settings().broker_url.get_secret_value() else url):
        nitro.connect_broker(timeout_seconds=seconds)


@asynccontextmanager
async def opened(log: Log, seconds: float) -> AsyncIterator[Extent]:
    """The extent of a log that is open inside.

    Raises:
        BrokerUnavailable: it was not opened within `seconds`, or what is done inside took longer than it may.
    """
    try:
        async with asyncio.timeout(seconds):
            extent = await log.open()
        yield extent
    except TimeoutError as error:
        raise BrokerUnavailable(f"{log.name} has not answered within {seconds:g} s") from error
    finally:
        await log.close()


@contextmanager
def _named_by_option(url: str | None) -> Iterator[None]:
    """Errors inside name the option, if the URL came from there, and not the environment variable."""
    try:
        yield
    except (ConfigurationError, BrokerRefused) as error:
        if url is None:
            raise
        raise type(error)(str(error).replace("NITRO_BROKER_URL", "--broker")) from error
