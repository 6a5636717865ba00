"""Brokers: publish events to a log, and read them back in order. Exports what third-party logs need."""

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
from nitro.redaction import without_secrets

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
    "without_secrets",
]
