"""Health: whether this process can serve streams, for probes: `app.mount("/health", nitro.health)`.

Reads what the hub and its broker know about themselves, and asks nobody: a probe costs nothing and never waits.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from nitro.delivery.process import current_hub, get_hub
from nitro.errors import ConfigurationError

__all__ = ["health"]

_STUCK_SECONDS: Final = 30.0
"""A step of the broker's thread takes less than half of it, whatever its server does; a loop that serves streams is
called each second."""
_HEADERS: Final = {"cache-control": "no-store"}


def _answer(status: str, reasons: list[str]) -> Response:
    body: dict[str, Any] = {"status": "unavailable", "reasons": reasons} if reasons else {"status": status}
    return JSONResponse(body, 503 if reasons else 200, _HEADERS)


async def _live(_: Request) -> Response:
    """Fails if a restart would help: an event loop with streams, or what serves the broker, is stuck."""
    hub = current_hub()
    reasons: list[str] = []
    if hub is not None:
        loop_seconds, broker_seconds = hub.stuck_seconds, hub.broker.state.stuck_seconds
        if loop_seconds > _STUCK_SECONDS:
            reasons.append(f"an event loop has been stuck for {loop_seconds:.0f} s")
        if broker_seconds > _STUCK_SECONDS:
            reasons.append(f"the connection to the broker has been stuck for {broker_seconds:.0f} s")
    return _answer("live", reasons)


async def _ready(_: Request) -> Response:
    """Fails if new streams should go to another process: the broker is gone, or this one ends its streams."""
    try:
        hub = get_hub()  # so that a process that nothing has used yet is connected to its broker, too
    except ConfigurationError:
        return _answer("ready", ["the broker can't be used as it is configured"])
    state = hub.broker.state
    reasons: list[str] = []
    if hub.is_draining:
        reasons.append("the process ends its streams")
    if state.why_refused:
        reasons.append("the broker can't be used as it is configured")
    elif not hub.broker.is_open:
        reasons.append("the broker has not been reached yet")
    elif state.gone_seconds:
        reasons.append(f"the broker has been unavailable for {state.gone_seconds:.1f} s")
    return _answer("ready", reasons)


health: Final = Router([Route("/live", _live), Route("/ready", _ready)], redirect_slashes=False)
"""Answers to GET and HEAD with 200 or 503, and a small JSON that says why."""
