"""The database behind a broker, for events in the transactions of an application. Fed by a broker's URL."""

from __future__ import annotations

import importlib.util
from typing import Any

__all__ = ["engine_url", "why_no_transactions"]


def engine_url(broker_url: str) -> tuple[Any, dict[str, Any]]:
    """The URL by which SQLAlchemy reaches the broker's database, and the arguments of its driver.

    Raises:
        ValueError: the broker is no database.
    """
    from sqlalchemy import make_url

    url = make_url(broker_url)
    match url.get_backend_name():
        case "sqlite":
            return url.set(drivername="sqlite"), {"timeout": 5}
        case "postgresql" | "postgres":  # poolers that lend a transaction a session know no prepared statements
            return url.set(drivername="postgresql+psycopg"), {"prepare_threshold": None, "connect_timeout": 5}
        case other:
            raise ValueError(f"{other} has no transactions that events could be in")


def why_no_transactions(broker_url: str) -> str:
    """Why there are no events in transactions over this broker; empty if there are."""
    try:
        url, _ = engine_url(broker_url)
    except Exception as error:  # noqa: BLE001 - SQLAlchemy has errors of its own for what it can't read
        return str(error)
    if url.get_backend_name() == "postgresql" and importlib.util.find_spec("psycopg") is None:
        return "psycopg is missing: pip install 'psycopg[binary]'"
    return ""
