"""`Entity`: a validated record with an identity that can save, find and delete itself.

Owns identity and the vocabulary of queries; `record.Record` validates, the repository behind `_repository`
does all the I/O, applications derive from it. An entity never belongs to a database session: it is a plain
value that may be kept, copied, pickled and handed to another thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast
from uuid import uuid4

from sqlmodel import Field

from nitro.domain.entities.record import Record

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from nitro.infrastructure.repository import SQLModelRepository

__all__ = ["Entity"]


class _SharedRepository:
    """What `_repository` is until a class sets its own: the shared repository of `NITRO_DB_URL`."""

    def __get__(self, instance: object, owner: type | None = None) -> SQLModelRepository:
        # The one import in Nitro that runs upward. It waits for the first query, so that the domain can be
        # imported without a database and a class can name another repository instead.
        from nitro.infrastructure.repository import default_repository

        return default_repository()


def _new_id() -> str:
    return str(uuid4())


class Entity(Record):
    """A record with an `id`. With `table=True` it is also a row: `class Todo(Entity, table=True)`.

    Fields are validated on creation and on assignment; `pydantic.ValidationError` says what was wrong, and
    a refused assignment changes nothing. Unknown fields are refused. `Todo._repository` is the shared
    repository of the `NITRO_DB_URL` setting; assign a `SQLModelRepository` to it for another database.

    A row that doesn't exist is `None` (or `False`); a database error is raised as SQLAlchemy raises it.
    A question that can't be asked (an unknown field, a negative limit, a class without a table) raises
    `nitro.errors.InvalidQuery`. Fields whose names are those of methods (`filter`, `all`) can't be declared.
    """

    _repository: ClassVar[SQLModelRepository] = cast("SQLModelRepository", _SharedRepository())

    id: str = Field(default_factory=_new_id, primary_key=True)

    def save(self) -> Self:
        """Insert this entity, or update the row with its `id`, and commit; return the entity itself.

        All columns are written, whoever loaded the entity and when. Afterwards it has the row's values,
        those that the database made included. A database error is raised and leaves the entity as it was.
        """
        self._repository.save(self)
        return self

    def delete(self) -> bool:
        """Delete the row with this `id` and commit; False when there was none. The entity stays usable."""
        return self._repository.delete(self)

    @classmethod
    def get(cls, id: str) -> Self | None:
        """The entity with this `id`, or `None`."""
        return cls._repository.get(cls, id)

    @classmethod
    def find(cls, id: str) -> Self | None:
        """The same as `get`, for those who look for it under this name."""
        return cls.get(id)

    @classmethod
    def exists(cls, id: str) -> bool:
        """Whether there is a row with this `id`."""
        return cls._repository.exists(cls, id)

    @classmethod
    def all(cls) -> list[Self]:
        """Every entity of this class, in the database's order."""
        return cls._repository.where(cls)

    @classmethod
    def where(
        cls,
        *expressions: ColumnElement[bool] | bool,
        order_by: Any = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Self]:
        """The entities for which all SQL `expressions` hold: `Todo.where(Todo.title == "x")`.

        `order_by` is a field's name, a column expression (`Todo.title`, `desc(Todo.title)`) or a list of these.
        """
        return cls._repository.where(cls, *expressions, order_by=order_by, limit=limit, offset=offset)

    @classmethod
    def find_by(cls, **fields: Any) -> Self | None:
        """The first entity, in the database's order, whose fields equal these, or `None`."""
        return next(iter(cls._repository.filter(cls, fields, limit=1)), None)

    @classmethod
    def filter(
        cls,
        *,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
        **fields: Any,
    ) -> list[Self]:
        """The entities whose fields equal these (`None` finds NULL), sorted by a field and then by `id`.

        Use `where` for a field that is named as one of the options (`limit`).
        """
        return cls._repository.filter(
            cls,
            fields,
            sorting_field=sorting_field,
            sort_direction=sort_direction,
            limit=limit,
            offset=offset,
        )

    @classmethod
    def search(
        cls,
        text: str,
        *,
        fields: Sequence[str] | None = None,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Self]:
        """The entities that contain `text`, in any case, in one of `fields`; every character is literal.

        Without `fields` all string columns are searched but keys, which are in `id` and foreign keys.
        """
        return cls._repository.search(
            cls,
            text,
            fields=fields,
            sorting_field=sorting_field,
            sort_direction=sort_direction,
            limit=limit,
            offset=offset,
        )
