"""The exposition: Nitro's metrics as an ASGI application, `app.mount("/metrics", nitro.metrics.app)`."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp

from nitro.errors import ConfigurationError
from nitro.metrics.collector import NitroCollector
from nitro.metrics.worker_values import is_multiprocess, shared_directory

__all__ = ["app"]


def _make_app() -> ASGIApp:
    if is_multiprocess() and not shared_directory().is_dir():
        raise ConfigurationError(
            f"PROMETHEUS_MULTIPROC_DIR={str(shared_directory())!r} is no directory; make it, empty, before the server "
            "starts, or unset it if there is one worker"
        )
    registry = CollectorRegistry()
    registry.register(NitroCollector())
    if is_multiprocess():
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return make_asgi_app(registry)


app: Final = _make_app()
"""Answers with the metrics in the text format, or as OpenMetrics to who accepts that: those of this process, or, if
`PROMETHEUS_MULTIPROC_DIR` is set, those of all workers, also of prometheus-client metrics of the application.
"""
