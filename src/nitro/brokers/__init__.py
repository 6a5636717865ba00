"""Brokers: where events are published, and read back in order. What a log of your own is made of is exported here."""

from nitro.brokers.base import (
    DiagnosingLog,
    Entry,
    Extent,
    Log,
    LogChanged,
    LogFactory,
    Retention,
    TransactionalLog,
    new_epoch,
)

__all__ = [
    "DiagnosingLog",
    "Entry",
    "Extent",
    "Log",
    "LogChanged",
    "LogFactory",
    "Retention",
    "TransactionalLog",
    "new_epoch",
]
