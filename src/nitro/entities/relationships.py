"""Relationships of detached records: a relationship that was not loaded raises, and is never silently empty.

SQLAlchemy treats an object without a database identity as new, with empty relationships. So a record that is known to
be a row gets its identity; then SQLAlchemy raises for an unloaded relationship, and the error is given a remedy here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty, make_transient_to_detached
from sqlalchemy.orm.exc import DetachedInstanceError

from nitro.errors import NotLoaded

__all__ = ["checked_attribute", "drop_stale", "has", "is_row", "mark_as_row"]


class RelationshipNotLoaded(NotLoaded, DetachedInstanceError):
    """Also a `DetachedInstanceError`, for code that catches SQLAlchemy's errors."""

    code: str | None = None  # type: ignore[assignment]  # no link to SQLAlchemy's documentation


def is_row(record: Any) -> bool:
    """Whether SQLAlchemy knows the record as a row of the database."""
    state = inspect(record, raiseerr=False)
    return state is not None and state.key is not None


def mark_as_row(record: Any) -> None:
    """Give the record the database identity of its id, if it has none."""
    if not is_row(record):
        make_transient_to_detached(record)


def drop_stale(record: Any) -> None:
    """Remove related objects that no longer match the record's foreign keys."""
    for relationship in inspect(type(record)).relationships:
        if relationship.direction is RelationshipDirection.MANYTOONE and relationship.key in record.__dict__:
            related = record.__dict__[relationship.key]
            if any(
                _value(record, local) != _value(related, remote) for local, remote in relationship.local_remote_pairs
            ):
                del record.__dict__[relationship.key]


def has(record: Any, name: str) -> bool:
    """Whether the record has that attribute, and it is loaded."""
    try:
        return hasattr(record, name)
    except DetachedInstanceError:
        return False


def checked_attribute(self: Any, name: str) -> Any:
    """`__getattribute__` of classes with relationships."""
    try:
        return object.__getattribute__(self, name)
    except RelationshipNotLoaded:
        raise
    except DetachedInstanceError as error:
        raise RelationshipNotLoaded(_explained(type(self), name)) from error


def _value(record: Any, column: Any) -> Any:
    if record is None:
        return None
    mapper: Mapper[Any] = inspect(type(record))
    return record.__dict__.get(mapper.get_property_by_column(column).key)


def _explained(kind: type, name: str) -> str:
    relationship: RelationshipProperty[Any] | None = inspect(kind).relationships.get(name)
    remedy = "" if relationship is None else f"{_query_for(kind, relationship)}, or "
    return (
        f"{kind.__name__}.{name} was not loaded, and an entity belongs to no session that could load it now; "
        f"query it: {remedy}read it in a session of your own: Session({kind.__name__}._repository.engine)"
    )


def _query_for(kind: type, relationship: RelationshipProperty[Any]) -> str:
    own, target = kind.__name__.lower(), relationship.mapper.class_.__name__
    local, remote = relationship.local_remote_pairs[0]
    if relationship.direction is RelationshipDirection.MANYTOONE:
        return f"{target}.get({own}.{local.key})"
    if relationship.direction is RelationshipDirection.ONETOMANY:
        return f"{target}.filter({remote.key}={own}.{local.key})"
    return f"{target}.where(…)"
