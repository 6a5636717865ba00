"""The exposition: Nitro's metrics as an ASGI application, `app.mount("/metrics", nitro.metrics.app)`."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, make_asgi_app
from starlette.types import ASGIApp

from nitro.metrics.collector import NitroCollector

__all__ = ["app"]


def _make_app() -> ASGIApp:
    registry = CollectorRegistry()
    registry.register(NitroCollector())
    return make_asgi_app(registry)


app: Final = _make_app()
"""Answers with the metrics in the text format, or as OpenMetrics to who accepts that."""
