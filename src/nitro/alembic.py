"""What Alembic's `env.py` passes on, if entities, the broker's log or streams that have an end are in its database.

Nitro creates its own tables, which are not in the application's metadata, so `alembic revision --autogenerate` would
drop them. And it would name types of columns by modules that no migration imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from nitro.entities.exact_decimal import ExactDecimal

__all__ = ["TABLES", "include_name", "render_item"]

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


def render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """How a migration writes the type of a column: that of a decimal number in SQLAlchemy's words alone, and one of
    SQLModel's with its import; False for Alembic's own way.

    For `context.configure(render_item=…)`. If you have one of your own, ask it first, and this one if it gives False.
    """
    if kind != "type":
        return False
    if isinstance(item, ExactDecimal):
        return item.as_source(autogen_context.opts["sqlalchemy_module_prefix"])
    if type(item).__module__.startswith("sqlmodel."):
        autogen_context.imports.add("import sqlmodel")
    return False
