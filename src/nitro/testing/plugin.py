"""A plugin of pytest: `pytest -p nitro.testing.plugin`, or `addopts = "-p nitro.testing.plugin"` in the configuration.

Each test has a hub of its own, which knows nothing of what other tests have emitted, and reads the settings anew, so
that `monkeypatch.setenv("NITRO_…")` counts. A test fails that leaves `emit_async` without `await`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final

import pytest

from nitro.clients.client import active_clients
from nitro.delivery import process
from nitro.settings import get_settings

__all__ = ["nitro_hub"]

_END_SECONDS: Final = 0.5
_EMITS: Final = ("emit_async", "Event.emit_async")


@pytest.fixture(autouse=True)
def nitro_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub for this test alone."""
    forgotten: list[str] = []
    warn = warnings._warn_unawaited_coroutine  # type: ignore[attr-defined]  # what Python itself calls

    def note(coroutine: Any) -> None:
        if coroutine.__qualname__ in _EMITS:
            forgotten.append(coroutine.__qualname__)
        warn(coroutine)

    monkeypatch.setattr(warnings, "_warn_unawaited_coroutine", note)
    monkeypatch.setattr(process, "_hub", None)
    get_settings.cache_clear()
    yield
    hub = process.current_hub()
    if hub is not None:
        hub.close(_END_SECONDS)
    get_settings.cache_clear()
    for client in active_clients.connected():
        client.disconnect()
    if forgotten:
        pytest.fail(f"{forgotten[0]} was called without await, so nothing was emitted", pytrace=False)
