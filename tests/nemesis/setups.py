"""The set-ups by their names."""

from __future__ import annotations

from tests.nemesis import nats, postgres, redis, sqlite
from tests.nemesis.setup import SetUp

__all__ = ["SET_UPS"]

SET_UPS: dict[str, type[SetUp]] = {
    set_up.kind: set_up
    for set_up in (
        sqlite.File,
        redis.Durable,
        redis.Forgetful,
        redis.SentinelPair,
        redis.VirtualAddress,
        nats.One,
        nats.Three,
        postgres.Alone,
        postgres.Standby,
        postgres.BouncerSession,
        postgres.BouncerTransaction,
    )
}
