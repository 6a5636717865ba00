"""For the `env.py` of Alembic, where the broker's log is in the application's own database.

The log makes its tables itself, so they are in no metadata of the application's, and `alembic revision --autogenerate`
would drop them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["TABLES", "include_name"]

TABLES: Final = frozenset({"nitro_logs", "nitro_messages", "nitro_producers", "nitro_outbox"})
"""The tables of a log: the last one on PostgreSQL alone."""


def include_name(name: str | None, kind: str, parent_names: Mapping[str, str | None]) -> bool:
    """Whether Alembic shall look at what is called so: at all but the tables of Nitro's log, and what belongs to them.

    It is what `context.configure(include_name=…)` wants. One with a filter of its own joins the two by `and`.
    """
    return (name if kind == "table" else parent_names.get("table_name")) not in TABLES
