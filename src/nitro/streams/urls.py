"""Makes the store for a URL: the broker's, so that streams stand where its log does."""

from __future__ import annotations

from typing import Final

from nitro.brokers.urls import driven, kind_of
from nitro.errors import ConfigurationError
from nitro.redaction import scheme_of
from nitro.streams.base import Store, StoreFactory

__all__ = ["make_store"]

_REDIS: Final = ("nitro.streams.stores.redis.store", "RedisStore", "redis")
_NATS: Final = ("nitro.streams.stores.nats.store", "NatsStore", "nats")
_POSTGRESQL: Final = ("nitro.streams.stores.postgresql", "PostgresStore", "postgresql")
_KINDS: Final = {
    "memory": ("nitro.streams.stores.memory", "MemoryStore", ""),
    "sqlite": ("nitro.streams.stores.sqlite.store", "SQLiteStore", ""),
    "redis": _REDIS,
    "rediss": _REDIS,
    "redis+unix": _REDIS,
    "redis+sentinel": _REDIS,
    "redis+cluster": _REDIS,
    "nats": _NATS,
    "tls": _NATS,
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
}
"""Scheme of the URL → module, class, and the extra that installs its driver."""


def make_store(url: str, namespace: str) -> Store:
    """The store at `url`, not open.

    Raises:
        ConfigurationError: the URL can't be used, its driver is not installed, or its kind has no streams.
    """
    kind = _KINDS.get(kind_of(url))
    if kind is None:
        raise ConfigurationError(
            f"runs and durable streams have no store for {scheme_of(url)!r}; NITRO_BROKER_URL may start with "
            + ", ".join(f"{name}://" for name in _KINDS)
        )
    make: StoreFactory = driven(*kind)
    return make(url, namespace)
