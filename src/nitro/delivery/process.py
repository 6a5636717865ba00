"""The process's one hub: made when first needed, replaced in a forked child, and closed at the interpreter's exit."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import thread as _pools  # noqa: F401 - its exit handler has to register before ours
from functools import cache
from importlib import import_module
from typing import Final

from pydantic import SecretStr

from nitro.brokers.base import Broker, Log
from nitro.brokers.urls import make_broker
from nitro.delivery.hub import Hub
from nitro.delivery.statistics import Statistics
from nitro.deprecation import renamed
from nitro.errors import BrokerRefused, BrokerUnavailable, ConfigurationError
from nitro.redaction import SecretUrl
from nitro.settings import Settings, get_settings

__all__ = [
    "acknowledged",
    "before_exit",
    "broker_settings",
    "configure",
    "connect_broker",
    "current_hub",
    "flush",
    "get_hub",
    "make_hub",
    "refuse_to_configure_while",
    "statistics",
    "when_made",
]

_EXIT_SECONDS: Final = 5.0
"""How long the interpreter's exit waits for a broker's acknowledgement."""

_READING_SECONDS: Final = 1.0
"""How long a thread is blocked until what it has published is read. It may be the thread of the event loop that has to
continue before more is read."""

_hub: Hub | None = None
_broker: str | SecretStr | Log | None = None
_making = threading.RLock()
_is_making = False
_when_made: list[Callable[[], object]] = []
_before_exit: list[Callable[[], object]] = []
_is_in_use: list[Callable[[], bool]] = []
_inherited: list[Hub] = []
"""Hubs of parent processes, kept alive: collecting them would close the parent's connections."""


def get_hub() -> Hub:
    """The process's hub; a forked child gets one of its own."""
    global _hub, _is_making
    if _hub is None:
        with _making:
            if _hub is None:
                if _is_making:  # in this thread, further up
                    raise ConfigurationError(
                        "something is emitted or connected while the broker is being made: by its log's own module, or "
                        "by a signal handler"
                    )
                _is_making = True
                try:
                    _hub = _make()
                    _hub.on_inspection = _hear_inspector
                finally:
                    _is_making = False
                _register()
                _register_in_child()
                for action in tuple(_when_made):
                    action()
    return _hub


def current_hub() -> Hub | None:
    """The process's hub, if anything has needed one yet. For signal handlers: it takes no lock."""
    return _hub


def when_made(action: Callable[[], object]) -> None:
    """Call `action` whenever this process has got its hub: at once if it has one, and again in forked children."""
    with _making:
        _when_made.append(action)
        if _hub is not None:
            action()


def refuse_to_configure_while(is_in_use: Callable[[], bool]) -> None:
    """Let `configure` ask `is_in_use` whether something uses the broker's URL beside the hub."""
    _is_in_use.append(is_in_use)


def before_exit(action: Callable[[], object]) -> None:
    """Call `action` as the interpreter exits, while events can still be emitted. It is inherited by forked children."""
    _before_exit.append(action)
    _register()


def configure(*, broker: str | SecretStr | Log | None = None) -> None:
    """Choose the broker in code, before anything is emitted or connected, and before a run or a durable stream is used.

    Args:
        broker: a URL as in `NITRO_BROKER_URL`, which it overrides, also as a `SecretStr`; a log of your own (see
            `nitro.brokers.base.Log`); or None to use the environment's.

    Raises:
        ConfigurationError: the broker is in use already.
    """
    global _broker
    with _making:
        if _hub is not None:
            raise ConfigurationError("nitro.configure comes too late: something was emitted or connected already")
        if any(is_in_use() for is_in_use in _is_in_use):
            raise ConfigurationError("nitro.configure comes too late: runs or durable streams are in use already")
        _broker = broker


@renamed(timeout="timeout_seconds")
def connect_broker(timeout_seconds: float = 5.0) -> None:
    """Connect to the broker now, and create its tables or its stream, instead of when something is first emitted.

    This is optional: emitted messages are queued until the broker is reachable. It is for a start-up that should fail
    if the broker is unreachable, and for scripts that set up a database.

    Raises:
        BrokerUnavailable: it was not reached within `timeout_seconds`.
        BrokerRefused: it can't be used as it is configured; raised immediately.
    """
    hub = get_hub()
    refusal = hub.broker.refusal
    wait([hub.opened, refusal], min(timeout_seconds, threading.TIMEOUT_MAX), return_when=FIRST_COMPLETED)
    if refusal.done():
        raise BrokerRefused(str(refusal.exception()))
    if not hub.opened.done():
        state = hub.broker.state
        raise BrokerUnavailable(
            f"the broker was not reached within {timeout_seconds:g} s: {state.why_gone}; "
            f"{hub.broker.name} has been unavailable for {state.gone_seconds:.1f} s"
        )


@renamed(timeout="timeout_seconds")
def flush(timeout_seconds: float = 5.0) -> None:
    """Wait until everything emitted so far is acknowledged by the broker; for scripts and workers that end.

    By then this process has read it, too, so a client that connects afterwards doesn't hear it.

    Raises:
        BrokerUnavailable: it was not acknowledged within `timeout_seconds`.
        BrokerRefused: the broker can't be used as it is configured; raised immediately.
        PayloadTooLarge: a message was dropped, since it exceeds the broker's limit; the others are published or queued.
    """
    if _hub is None:
        return
    acknowledgement = _hub.broker.acknowledgement()
    if acknowledgement is not None:
        wait([acknowledgement], min(timeout_seconds, threading.TIMEOUT_MAX))
        _check(_hub.broker, acknowledgement, timeout_seconds)
    reading = _hub.broker.until_read()
    if reading is not None:
        wait([reading], min(timeout_seconds, _READING_SECONDS))


def statistics() -> Statistics:
    """What this process has delivered since its start, and what is queued in it now. Cheap; from any thread."""
    return get_hub().statistics()


async def acknowledged(number: int | None) -> None:
    """As `flush`, in an event loop.

    Args:
        number: the number of the message to wait for; None for all.

    Raises:
        BrokerUnavailable: it was not acknowledged within `NITRO_PUBLISH_TIMEOUT_SECONDS`.
        BrokerRefused: the broker can't be used as it is configured; raised immediately.
        PayloadTooLarge: the message was dropped, since it exceeds the broker's limit.
    """
    hub = get_hub()
    seconds = hub.settings.publish_timeout_seconds
    acknowledgement = hub.broker.acknowledgement(number)
    if acknowledgement is not None:
        answer = asyncio.wrap_future(acknowledgement)
        answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())  # else asyncio may report it
        await asyncio.wait([answer], timeout=seconds)
        _check(hub.broker, acknowledgement, seconds)
    reading = hub.broker.until_read()
    if reading is not None:
        await reading.wait(seconds)


def _check(broker: Broker, acknowledgement: Future[None], seconds: float) -> None:
    if not acknowledgement.done():
        raise BrokerUnavailable(
            f"the broker has not acknowledged within {seconds:g} s: {broker.state.why_waiting(broker.name)}; what was "
            f"emitted waits, and is published once the broker takes it, if this process lives so long"
        )
    acknowledgement.result()


def make_hub(settings: Settings, log: Log | None = None) -> Hub:
    """A started hub, on `log` or on the broker that the settings name.

    Raises:
        ConfigurationError: the broker can't be made.
    """
    hub = Hub(settings, make_broker(settings, log))
    hub.start()
    return hub


def _hear_inspector(payload: bytes) -> None:
    """An inspector asks something: what answers is loaded now, and in a thread, since the hub's lock is held."""
    threading.Thread(target=_let_answer, args=(payload,), name="nitro-inspector-order", daemon=True).start()


def _let_answer(payload: bytes) -> None:
    import_module("nitro.inspection.process").hear(payload)


def broker_settings() -> Settings:
    """The settings, with the URL of the broker that was chosen in code.

    Raises:
        ConfigurationError: a log of one's own was chosen, which no URL names.
    """
    if isinstance(_broker, str | SecretStr):
        url = _broker if isinstance(_broker, str) else _broker.get_secret_value()
        return get_settings().model_copy(update={"broker_url": SecretUrl(url)})
    if _broker is not None:
        raise ConfigurationError(
            f"nitro.configure chose the log {_broker!r:.100}, beside which runs and durable streams have no store; "
            "choose the broker by its URL"
        )
    return get_settings()


def _make() -> Hub:
    if _broker is None or isinstance(_broker, str | SecretStr):
        return make_hub(broker_settings())
    return make_hub(get_settings(), _broker)


@cache
def _register() -> None:
    # Runs before the interpreter's thread pools refuse work, which drivers need to look up a host. Only a private
    # function registers for that moment; without it `_finish` runs later, and works with what is connected already.
    register = getattr(threading, "_register_atexit", atexit.register)
    try:
        register(_finish)
    except RuntimeError:  # the interpreter is exiting: an exit handler is the first to emit
        atexit.register(_finish)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_start_anew)


def _register_in_child() -> None:
    """A child of multiprocessing ends without the interpreter's exit handlers, and has a mechanism of its own."""
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _finish, exitpriority=100)


def _finish() -> None:
    try:
        for action in _before_exit:
            action()
    finally:
        if _hub is not None:
            _hub.close(_EXIT_SECONDS)


def _start_anew() -> None:
    global _hub, _making, _is_making
    if _hub is not None:
        _inherited.append(_hub)
    _hub = None
    _making = threading.RLock()
    _is_making = False
