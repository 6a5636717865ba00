"""A filter for Alembic's `env.py`, if the broker's log, or streams that have an end, are in the application's database.

Nitro creates its own tables, which are not in the application's metadata, so `alembic revision --autogenerate` would
drop them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["TABLES", "include_name"]

TABLES: Final = frozenset(
    {"nitro_logs", "nitro_messages", "nitro_producers", "nitro_outbox"}
    | {"nitro_streams", "nitro_stream_records", "nitro_stream_versions", "nitro_stream_garbage"}
)
"""The tables of a log, and of streams that have an end; `nitro_outbox` exists on PostgreSQL alone."""


def include_name(name: str | None, kind: str, parent_names: Mapping[str, str | None]) -> bool:
    """Whether Alembic includes this object: everything but Nitro's own tables, their columns and indexes.

    For `context.configure(include_name=…)`. Combine it with a filter of your own by `and`.
    """
    return (name if kind == "table" else parent_names.get("table_name")) not in TABLES
