"""Makes the broker for a URL. Each kind of log, with its driver, is imported when it is needed."""

from __future__ import annotations

import logging
import re
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from nitro.brokers.base import Broker, Log, LogFactory, Retention
from nitro.brokers.codec import BEFORE_PAYLOAD_BYTES
from nitro.brokers.log_broker import LogBroker
from nitro.brokers.memory import MemoryBroker
from nitro.brokers.other_workers import warn_of_other_workers
from nitro.errors import ConfigurationError
from nitro.redaction import scheme_of
from nitro.settings import Settings

__all__ = ["driven", "kind_of", "log_of", "make_broker", "make_log"]

log: Final = logging.getLogger("nitro.brokers")

_KINDS: Final = {
    "sqlite": ("nitro.brokers.sqlite.log", "SQLiteLog", ""),
    "redis": ("nitro.brokers.redis.log", "RedisLog", "redis"),
    "rediss": ("nitro.brokers.redis.log", "RedisLog", "redis"),
    "redis+unix": ("nitro.brokers.redis.log", "RedisLog", "redis"),
    "redis+sentinel": ("nitro.brokers.redis.log", "RedisLog", "redis"),
    "redis+cluster": ("nitro.brokers.redis.log", "RedisLog", "redis"),
    "nats": ("nitro.brokers.nats.log", "NatsLog", "nats"),
    "tls": ("nitro.brokers.nats.log", "NatsLog", "nats"),
    "postgresql": ("nitro.brokers.postgresql.log", "PostgresLog", "postgresql"),
    "postgres": ("nitro.brokers.postgresql.log", "PostgresLog", "postgresql"),
}
"""Scheme of the URL → module, class, and the extra that installs its driver. A database's scheme may name a driver
after a `+`, as in SQLAlchemy."""
_GROUP: Final = "nitro.logs"
"""Entry point group of third-party logs: `kafka = "myteam.logs:KafkaLog"` for `kafka://…`."""
_DATABASES: Final = ("sqlite", "postgresql")
_OWN_LOGS: Final = (
    "this is one of several workers of %s, and memory:// is a log in each of them: a browser hears only what is "
    "emitted in the worker that it is connected to. Set NITRO_BROKER_URL to a log that they share, such as "
    "sqlite:///events.db; https://nitro-realtime.github.io/nitro/how-to/scaling/ has the others"
)
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)


def _retention_of(settings: Settings) -> Retention:
    return Retention(settings.history_messages, settings.history_bytes, settings.history_seconds)


def _check_namespace(namespace: str) -> None:
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(f"NITRO_NAMESPACE is {namespace!r}; use 1 to 48 ASCII letters, digits, '_' and '-'")


def log_of(url: str, settings: Settings) -> Log:
    """The log at `url`, which is not that in memory, with all else as the settings have it; not open.

    Raises:
        ConfigurationError: the URL or the namespace can't be used, or the driver is not installed.
    """
    _check_namespace(settings.namespace)
    return make_log(url, settings.namespace, _retention_of(settings), max_payload_bytes=settings.max_payload_bytes)


def make_broker(settings: Settings, remote: Log | None = None) -> Broker:
    """The broker that the settings describe, or one over `remote`; not started.

    Raises:
        ConfigurationError: the URL or the namespace can't be used, or the driver is not installed.
    """
    retention = _retention_of(settings)
    if remote is None:
        _check_namespace(settings.namespace)
        url = settings.broker_url.get_secret_value()
        if url == "memory://":
            warn_of_other_workers(log, _OWN_LOGS)
            return MemoryBroker(retention)
        remote = log_of(url, settings)
    return LogBroker(
        remote,
        retention,
        max_payload_bytes=settings.max_payload_bytes,
        max_publish_queue_bytes=settings.max_publish_queue_bytes,
    )


def make_log(url: str, namespace: str, retention: Retention, *, max_payload_bytes: int) -> Log:
    """The log at `url`, not open.

    Raises:
        ConfigurationError: the URL can't be used, or the driver is not installed.
    """
    name = kind_of(url)
    make: LogFactory = driven(*_KINDS[name]) if name in _KINDS else _foreign(name, url)
    return make(url, namespace, retention, BEFORE_PAYLOAD_BYTES + max_payload_bytes)


def kind_of(url: str) -> str:
    """The scheme of a URL, without the driver of a database; empty if it has none."""
    scheme, colon, _ = url.partition("://")
    database, plus, _ = scheme.partition("+")
    return (database if plus and database in _DATABASES else scheme) if colon else ""


def driven(module: str, name: str, extra: str) -> Any:
    """A class that needs a driver, imported now.

    Raises:
        ConfigurationError: the driver is not installed; `extra` of Nitro installs it.
    """
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("nitro"):
            raise
        raise ConfigurationError(
            f"NITRO_BROKER_URL needs the package {error.name!r}: pip install 'nitro-realtime[{extra}]'"
        ) from error


def _foreign(scheme: str, url: str) -> LogFactory:
    """A third-party log; what is installed is searched only for a scheme that Nitro doesn't know."""
    if scheme == "memory":
        raise ConfigurationError("NITRO_BROKER_URL has something behind memory://; write memory:// and nothing more")
    registered = {entry.name: entry for entry in entry_points(group=_GROUP)}
    found = registered.get(scheme)
    if found is None:
        known = ", ".join(f"{name}://" for name in ("memory", *_KINDS, *sorted(registered)))
        start = f"starts with {scheme_of(url)!r}" if scheme_of(url) else "doesn't start with a scheme and //"
        raise ConfigurationError(f"NITRO_BROKER_URL {start}; it may start with {known}")
    try:
        make: LogFactory = found.load()
    except (ImportError, AttributeError) as error:
        package = found.dist.name if found.dist else "a package"
        raise ConfigurationError(
            f"NITRO_BROKER_URL starts with {scheme!r}, for which {package} names {found.value}, and that can't be "
            f"imported: {error}"
        ) from error
    return make
