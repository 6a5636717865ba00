"""The database of a broker, for events in an application's transactions. Fed by a broker's URL."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

__all__ = ["engine_url", "why_no_transactions"]


def engine_url(broker_url: str) -> tuple[Any, dict[str, Any]]:
    """SQLAlchemy's URL of the broker's database, and arguments of its driver."""
    from sqlalchemy import make_url

    url = make_url(broker_url.replace("postgres://", "postgresql://", 1))
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite"), {"timeout": 5}
    # Poolers in transaction mode don't support prepared statements.
    return url.set(drivername="postgresql+psycopg"), {"prepare_threshold": None, "connect_timeout": 5}


def why_no_transactions(broker_url: str) -> str:
    """Why this broker supports no events in transactions; empty if it does."""
    scheme = re.split(r"[:+]", broker_url)[0]
    if scheme not in ("sqlite", "postgresql", "postgres"):
        return f"{scheme} has no transactions"
    if scheme != "sqlite" and importlib.util.find_spec("psycopg") is None:
        return "psycopg is missing: pip install 'psycopg[binary]'"
    return ""
