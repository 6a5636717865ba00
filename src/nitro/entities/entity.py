"""`Entity`: a validated record with an identity that can save, find and delete itself.

Owns identity and the vocabulary of queries; `record.Record` validates, the repository behind `_repository`
does all the I/O, applications derive from it. An entity never belongs to a database session: it is a plain
value that may be kept, copied, pickled and handed to another thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, Union, cast, get_args, get_origin, overload
from uuid import uuid4

from pydantic import ConfigDict
from pydantic_core import from_json
from sqlmodel import Field

from nitro.entities.record import Record
from nitro.entities.yielding import YieldingProperty, yielding_method, yielding_property
from nitro.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from nitro.repository import SQLModelRepository

__all__ = ["Entity"]


class _SharedRepository:
    """What `_repository` is until a class sets its own: the shared repository of `NITRO_DB_URL`."""

    def __get__(self, instance: object, owner: type | None = None) -> SQLModelRepository:
        # The one import in Nitro that runs upward. It waits for the first query, so that the domain can be
        # imported without a database and a class can name another repository instead.
        from nitro.repository import default_repository

        return default_repository()


def _new_id() -> str:
    return str(uuid4())


def _kinds_of(annotation: Any) -> list[Any]:
    """The types that a field may have; what can't be told is left as it is."""
    for wrapped in ("__supertype__", "__value__"):  # of a NewType, of an alias
        if hasattr(annotation, wrapped):
            return _kinds_of(getattr(annotation, wrapped))
    if get_origin(annotation) is Annotated:
        return _kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for each in get_args(annotation) for kind in _kinds_of(each)]
    if get_origin(annotation) is Literal:
        return [type(value) for value in get_args(annotation)]
    return [annotation]


class Entity(Record):
    """A record with an `id`. With `table=True` it is also a row: `class Todo(Entity, table=True)`.

    Fields are validated on creation and on assignment; `pydantic.ValidationError` says what was wrong, and
    a refused assignment changes nothing. Unknown fields are refused. `Todo._repository` is the shared
    repository of the `NITRO_DB_URL` setting; assign a `SQLModelRepository` to it for another database.

    A row that doesn't exist is `None` (or `False`); a database error is raised as SQLAlchemy raises it.
    A question that can't be asked (an unknown field, a negative limit, a class without a table) raises
    `nitro.errors.InvalidQuery`. Fields whose names are those of methods (`filter`, `all`) can't be declared, but
    `count` and `signals` can, and then are those fields.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(ignored_types=(YieldingProperty,))

    _repository: ClassVar[SQLModelRepository] = cast("SQLModelRepository", _SharedRepository())

    id: str = Field(default_factory=_new_id, primary_key=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse an `id` that is no string, where it is declared.

        Raises:
            ConfigurationError: it is one.
        """
        super().__pydantic_init_subclass__(**kwargs)
        kinds = _kinds_of(cls.model_fields["id"].annotation)
        if any(isinstance(kind, type) and not issubclass(kind, str | NoneType) for kind in kinds):
            shown = " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            raise ConfigurationError(
                f"{cls.__name__}.id is declared as {shown}; the id of an entity is a string, which senders and URLs "
                f"take as it is. Leave `id` out, and give a number of your own another name: "
                f"number: int = Field(unique=True)"
            )

    def save(self) -> Self:
        """Insert this entity, or update the row with its `id`, and commit; return the entity itself.

        All columns are written, whoever loaded the entity and when. Afterwards it has the row's values,
        those that the database made included. A database error is raised and leaves the entity as it was: whatever
        is returned was saved, and it is true, unless its class has a `__bool__` or `__len__` that says otherwise.
        """
        self._repository.save(self)
        return self

    @yielding_property
    def signals(self) -> dict[str, Any]:
        """The fields as values of JSON, for Datastar's `data-signals` and whatever else takes such a dict."""
        fields: dict[str, Any] = from_json(self.model_dump_json())
        return fields

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

    @yielding_method
    def count(cls, *expressions: ColumnElement[bool] | bool) -> int:
        """How many entities there are, or how many for which all SQL `expressions` hold."""
        return cls._repository.count(cls, *expressions)

    @classmethod
    def delete_where(cls, *expressions: ColumnElement[bool]) -> int:
        """Delete the rows for which all SQL `expressions` hold, in one statement; return how many there were.

        What refers to them is left to the database (`ondelete=`), which refuses what would be left dangling.

        Raises:
            InvalidQuery: without an expression, or with one that Python has worked out already, it would delete all.
        """
        return cls._repository.delete_where(cls, *expressions)

    @classmethod
    def find_by(cls, **fields: Any) -> Self | None:
        """The first entity, in the database's order, whose fields equal all of these, or `None`."""
        return next(iter(cls._repository.filter(cls, fields, limit=1)), None)

    @overload
    @classmethod
    def filter(
        cls,
        *,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: Literal[False] = False,
        fields: None = None,
        exact_match: bool = True,
        **values: Any,
    ) -> list[Self]: ...

    @overload
    @classmethod
    def filter(
        cls,
        *,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: bool = False,
        fields: Sequence[str] | None = None,
        exact_match: bool = True,
        **values: Any,
    ) -> list[Any]: ...

    @classmethod
    def filter(
        cls,
        *,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: bool = False,
        fields: Sequence[str] | None = None,
        exact_match: bool = True,
        **values: Any,
    ) -> list[Any]:
        """The entities whose fields have these values, sorted by a field and then by `id`.

        A value is equalled; `None` finds NULL, a list or a set one of its items, a tuple of two what lies between them,
        both included (None leaves that end open). Of a JSON column each value is equalled.

        Use `where` for a field that is named as one of the options (`limit`).

        Args:
            as_dict: dicts of the fields instead of entities.
            fields: these fields alone: named tuples, or dicts with `as_dict`; they can't be saved by accident.
            exact_match: False finds text that contains the value, in any case; every character is literal.
        """
        return cls._repository.filter(
            cls,
            values,
            sorting_field=sorting_field,
            sort_direction=sort_direction,
            limit=limit,
            offset=offset,
            as_dict=as_dict,
            fields=fields,
            exact_match=exact_match,
        )

    @overload
    @classmethod
    def search(
        cls,
        search_value: str | None = None,
        *,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: Literal[False] = False,
        fields: Sequence[str] | None = None,
    ) -> list[Self]: ...

    @overload
    @classmethod
    def search(
        cls,
        search_value: str | None = None,
        *,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: bool,
        fields: Sequence[str] | None = None,
    ) -> list[Any]: ...

    @classmethod
    def search(
        cls,
        search_value: str | None = None,
        *,
        sorting_field: str | None = None,
        sort_direction: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: bool = False,
        fields: Sequence[str] | None = None,
    ) -> list[Any]:
        """The entities that contain a text, in any case, in one of their string columns; every character is literal.

        Without a text, or with an empty one, these are all. Keys, which are in `id` and foreign keys, are not searched.

        Args:
            as_dict: dicts of the fields instead of entities.
            fields: with `as_dict` the fields that the dicts have; for entities, which have all, the fields that are
                searched, keys as well.
        """
        return cls._repository.search(
            cls,
            search_value,
            sorting_field=sorting_field,
            sort_direction=sort_direction,
            limit=limit,
            offset=offset,
            as_dict=as_dict,
            fields=fields,
        )
