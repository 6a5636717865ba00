"""Database sessions that an emit can take part in: those of SQLAlchemy and SQLModel, synchronous and asynchronous."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nitro.errors import ArgumentTypeError, ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["check_any_session", "check_session", "in_session", "is_of_asyncio"]


def check_session(session: Any) -> Session:
    """`session`, or the session of a `scoped_session`, if it is synchronous.

    Raises:
        ConfigurationError: it is an `AsyncSession`.
        ArgumentTypeError: it is no session.
    """
    from sqlalchemy.orm import Session, scoped_session

    if isinstance(session, scoped_session):
        session = session()
    if is_of_asyncio(session, "AsyncSession"):
        raise ConfigurationError("an AsyncSession has to be awaited: await emit_async(..., session=session)")
    if not isinstance(session, Session):
        raise ArgumentTypeError(f"session is a SQLAlchemy session, not {type(session).__name__}")
    return session


def check_any_session(session: Any) -> None:
    """As `check_session`, for who can await and takes an `AsyncSession` as well."""
    if not is_of_asyncio(session, "AsyncSession"):
        check_session(session)


async def in_session(session: Any, write: Callable[[Session], None]) -> None:
    """Call `write` with the synchronous session, by `run_sync` if `session` is an `AsyncSession`."""
    if is_of_asyncio(session, "AsyncSession"):
        await session.run_sync(write)
    else:
        write(check_session(session))


def is_of_asyncio(value: Any, name: str) -> bool:
    """Whether it is of that class of `sqlalchemy.ext.asyncio`, which is not imported here, since it needs greenlet."""
    return isinstance(value, getattr(sys.modules.get("sqlalchemy.ext.asyncio"), name, ()))
