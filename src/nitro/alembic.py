"""A filter for Alembic's `env.py`, if the broker's log is in the application's database.

The log creates its own tables, which are not in the application's metadata, so `alembic revision --autogenerate` would
drop them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["TABLES", "include_name"]

TABLES: Final = frozenset({"nitro_logs", "nitro_messages", "nitro_producers", "nitro_outbox"})
"""The tables of a log; `nitro_outbox` exists on PostgreSQL alone."""


def include_name(name: str | None, kind: str, parent_names: Mapping[str, str | None]) -> bool:
    """Whether Alembic includes this object: everything but the tables of Nitro's log, their columns and indexes.

    For `context.configure(include_name=…)`. Combine it with a filter of your own by `and`.
    """
    return (name if kind == "table" else parent_names.get("table_name")) not in TABLES
