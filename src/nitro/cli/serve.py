"""`nitro serve`: a hub of its own, under uvicorn as `nitro run` does it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nitro.brokers.urls import log_of
from nitro.cli import run as uvicorn
from nitro.cli.failures import WRONG, fail, failures_told
from nitro.errors import ConfigurationError
from nitro.redaction import without_secrets
from nitro.settings import Settings, get_settings

if TYPE_CHECKING:
    from nitro.serve.configuration import Configuration

__all__ = ["load_env_file", "run"]

_APP: Final = "nitro.serve.app:from_environment"
_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
_NO_EVENTS: Final = (
    "no event can reach it: its log is in its own memory, and nobody may publish; set NITRO_BROKER_URL to the "
    "application's, or write [publish.keys]"
)


def run(config: str | None, options: Sequence[str], workers: int) -> None:
    """Check everything, say what is served, and serve it. What is wrong ends the command before a socket is opened.

    Args:
        config: the path of the configuration; None if there are only variables.
        options: of uvicorn.
        workers: processes.
    """
    with failures_told(), ExitStack() as stack:
        from nitro.serve.sources import read_configuration

        configuration = read_configuration(config, os.environ)
        settings = get_settings()
        _check_broker(settings, workers)
        if config:
            os.environ["NITRO_SERVE_CONFIG"] = os.path.abspath(config)
        if configuration.metrics and workers > 1 and not os.environ.get(_METRICS):
            os.environ[_METRICS] = stack.enter_context(tempfile.TemporaryDirectory(prefix="nitro-metrics-"))
        if configuration.metrics:
            import_module("nitro.metrics")  # it says what is missing
        for line in _summary(configuration, settings):
            print(f"nitro: {line}", file=sys.stderr)
        uvicorn.serve([*options, "--workers", str(workers), "--factory", _APP], "nitro serve", "serve")


def load_env_file(path: Path | None) -> None:
    """Put the variables of `--env-file` into the environment, as uvicorn would do it later: those that are set win."""
    if path is None:
        return
    from dotenv import load_dotenv  # pydantic-settings brings it

    with failures_told():
        try:
            load_dotenv(path)
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} is no text in UTF-8, from byte {error.start} on") from None


def _check_broker(settings: Settings, workers: int) -> None:
    url = settings.broker_url.get_secret_value()
    if url != "memory://":
        log_of(url, settings)
    elif workers > 1:
        fail(
            f"{workers} workers have a log in memory each, and a browser would hear only what is published to the "
            "worker that it is connected to. Set NITRO_BROKER_URL to a log that they share, such as "
            "sqlite:///events.db, or serve with --workers 1",
            WRONG,
        )


def _summary(configuration: Configuration, settings: Settings) -> list[str]:
    """What is served to whom; no secrets."""
    stream, jwt = configuration.stream, configuration.jwt
    shown = [
        "tickets" if configuration.ticket else "",
        f"tokens ({', '.join(jwt.algorithms)})" if jwt else "",
        f"anybody ({', '.join(stream.public)})" if stream.public else "",
    ]
    pages = f", also for pages of {', '.join(stream.origins)}" if stream.origins else ""
    owners = (
        f"{', '.join(configuration.publish.keys)} at /publish" if configuration.publish.keys else "nobody over HTTP"
    )
    metrics = "; metrics at /metrics" if configuration.metrics else ""
    inspector = "; inspector at /nitro-inspector/" if configuration.inspector else ""
    url = settings.broker_url.get_secret_value()
    broker = without_secrets(url)
    sends = configuration.publish.keys or (configuration.inspector is not None and configuration.inspector.actions)
    is_deaf = url == "memory://" and not sends
    return [
        f"streams at {stream.path} by {', '.join(filter(None, shown))}{pages}",
        f"published by {owners}; log {broker}, namespace {settings.namespace}{metrics}{inspector}",
        *([_NO_EVENTS] if is_deaf else []),
    ]
