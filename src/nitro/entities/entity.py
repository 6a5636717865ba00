"""`Entity`: a validated record with an identity that can save, find and delete itself.

Defines the `id` and the query methods; `record.Record` validates, and the repository in `_repository` does all I/O.
An entity never belongs to a database session: it is a plain value that may be kept, copied, pickled and passed to
another thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
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

    from nitro.live.client import LiveClient
    from nitro.live.declaring import LiveModel
    from nitro.live.renderer import Rendered
    from nitro.repository import SQLModelRepository

__all__ = ["Entity"]


class _SharedRepository:
    """The default of `_repository`: the shared repository of `NITRO_DB_URL`."""

    def __get__(self, instance: object, owner: type | None = None) -> SQLModelRepository:
        # The one upward import in Nitro. It is deferred to the first query, so that entities can be imported
        # without a database, and a class can set another repository.
        from nitro.repository import default_repository

        return default_repository()


def _new_id() -> str:
    return str(uuid4())


def _kinds_of(annotation: Any) -> list[Any]:
    """The types that an annotation allows, with aliases and unions resolved where possible."""
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


def _is_primary_key(field: Any) -> bool:
    column = getattr(field, "sa_column", None)
    return getattr(field, "primary_key", False) is True or getattr(column, "primary_key", False)


class Entity(Record):
    """A record with an `id`. With `table=True` it is also a row: `class Todo(Entity, table=True)`.

    Fields are validated on creation and on assignment, which raise `pydantic.ValidationError`; a rejected
    assignment changes nothing. Unknown fields are rejected. `Todo._repository` is the shared repository of the
    `NITRO_DB_URL` setting; assign a `SQLModelRepository` to it for another database.

    Queries return `None` (or `False`) for a row that doesn't exist, raise `nitro.errors.InvalidQuery` for invalid
    arguments (an unknown field, a negative limit, a class without a table), and pass on SQLAlchemy's errors. Fields
    can't have the names of methods (`filter`, `all`), except `count`, `signals`, `live`, `changed` and `silent`, which
    then hide the method.

    `class Todo(Entity, table=True, live=True)` announces its changes; `topic="task"` names
    its events.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(ignored_types=(YieldingProperty,))

    _repository: ClassVar[SQLModelRepository] = cast("SQLModelRepository", _SharedRepository())

    id: str = Field(default_factory=_new_id, primary_key=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Check the declared type of `id`, and that it alone is the primary key.

        Raises:
            ConfigurationError: it is not a string, or another field is a primary key.
        """
        super().__pydantic_init_subclass__(**kwargs)
        kinds = _kinds_of(cls.model_fields["id"].annotation)
        if any(isinstance(kind, type) and not issubclass(kind, str | NoneType) for kind in kinds):
            shown = " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            raise ConfigurationError(
                f"{cls.__name__}.id is declared as {shown}; the id of an entity is a string, which senders and URLs "
                f"can use unchanged. Leave `id` out, and give a number of your own another name: "
                f"number: int = Field(unique=True)"
            )
        keys = [name for name, field in cls.model_fields.items() if name != "id" and _is_primary_key(field)]
        if keys:
            raise ConfigurationError(
                f"{cls.__name__}.{keys[0]} is declared as a primary key, and that of an entity is its id alone. If no "
                f"two rows may have it alike, say __table_args__ = (UniqueConstraint({', '.join(map(repr, keys))}),)"
            )

    def save(self) -> Self:
        """Insert this entity, or update the row with its `id`, and commit; return the entity itself.

        All columns are written, changed or not. Afterwards the entity has the row's values, including those that the
        database generated. A database error is raised and leaves the entity unchanged. The result is truthy, unless the
        class defines `__bool__` or `__len__`.
        """
        self._repository.save(self)
        return self

    @yielding_property
    def signals(self) -> dict[str, Any]:
        """The fields as a dict of JSON values, such as for Datastar's `data-signals`."""
        fields: dict[str, Any] = from_json(self.model_dump_json())
        return fields

    def delete(self) -> bool:
        """Delete the row with this `id` and commit; False if there was none. The entity stays usable."""
        return self._repository.delete(self)

    @classmethod
    def get(cls, id: str) -> Self | None:
        """The entity with this `id`, or `None`."""
        return cls._repository.get(cls, id)

    @classmethod
    def find(cls, id: str) -> Self | None:
        """The same as `get`."""
        return cls.get(id)

    @classmethod
    def exists(cls, id: str) -> bool:
        """Whether there is a row with this `id`."""
        return cls._repository.exists(cls, id)

    @classmethod
    def all(cls) -> list[Self]:
        """All entities of this class, in the database's order."""
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
        """The number of entities, or of those for which all SQL `expressions` hold."""
        return cls._repository.count(cls, *expressions)

    @classmethod
    def delete_where(cls, *expressions: ColumnElement[bool]) -> int:
        """Delete the rows for which all SQL `expressions` hold, in one statement; return their number.

        Rows that refer to them are left to the database's foreign keys (`ondelete=`).

        Raises:
            InvalidQuery: there is no expression, or one that is a Python bool and so would match all rows or none.
        """
        return cls._repository.delete_where(cls, *expressions)

    @classmethod
    def create_many(cls, records: Iterable[Self | Mapping[str, Any]]) -> list[Self]:
        """Insert many entities, or mappings of their fields, in one transaction; return them with the rows' values.

        Raises:
            pydantic.ValidationError: a mapping isn't valid; nothing was inserted.
            sqlalchemy.exc.IntegrityError: there is a row with one of the ids already; nothing was inserted.
        """
        entities = [each if isinstance(each, cls) else cls.model_validate(each) for each in records]
        cls._repository.create_many(cls, entities)
        return entities

    @classmethod
    def update_where(cls, *expressions: ColumnElement[bool], **fields: Any) -> int:
        """Set fields of the rows for which all SQL `expressions` hold, in one statement; return their number.

        A value may be a SQL expression: `Todo.update_where(Todo.done == False, position=Todo.position + 1)`. Values are
        not validated by the class, but by the database alone.

        Raises:
            InvalidQuery: there is no expression, or one that is a Python bool; no field, or one that doesn't exist.
        """
        return cls._repository.update_where(cls, *expressions, fields=fields)

    @classmethod
    def _declared_live(cls) -> LiveModel:
        if cls._nitro_live is None:
            raise ConfigurationError(f"{cls.__name__} isn't live: class {cls.__name__}(Entity, table=True, live=True)")
        return cls._nitro_live

    @yielding_method
    def live(
        cls,
        *expressions: ColumnElement[bool] | bool,
        order_by: Any = None,
        limit: int | None = None,
        rendered: Rendered | None = None,
        target: str | None = None,
        markup: Literal["htmx", "turbo", "datastar"] | None = None,
        **options: Any,
    ) -> LiveClient:
        """A client that gets the rows for which all expressions hold, and whatever becomes of them:
        `EventSourceResponse(Todo.live(Todo.owner_id == user.id, order_by=Todo.created_at, limit=50))`.

        Args:
            expressions: comparisons of columns with constants, `==`, `!=`, `<`, `<=`, `>`, `>=`, `in_`, `not_in`,
                `is_`, `is_not` and `between`, joined by `and_`, `or_` and `not_`.
            order_by: a column, `column.desc()`, or a list of them.
            limit: the most rows: the first ones in that order.
            rendered: a function of a row that returns HTML, a template, or the path of one of Jinja's, which gets the
                row as `row` and under the class's topic. Then clients get HTML instead of JSON. A row is one element
                with the id `<topic>-<key>`, such as `<li id="todo-7">`.
            target: with `rendered`, the id of the element that contains the rows.
            markup: with `rendered`, the library of the page: `"htmx"` (2 and 4; the default), `"turbo"`, or
                `"datastar"`, whose client goes into a `DatastarResponse`.
            options: of the client: `client_id`, `user_id`, `expires_at`, `grant`, `last_event_id`, `max_messages`, …

        Raises:
            InvalidQuery: an expression may mean something else in Python than in the database, or the target is none.
            ConfigurationError: the class isn't live, or `rendered` is no function or template.
            AccessDenied, NotAuthenticated: its rights are not enough, or have expired.
        """
        return cls._declared_live().live(
            *expressions, order_by=order_by, limit=limit, rendered=rendered, target=target, markup=markup, **options
        )

    @yielding_method
    def changed(cls, ids: Iterable[str]) -> None:
        """Announce rows of a live class that were changed by what Nitro can't see, such as SQL as text.

        Raises:
            ArgumentTypeError: `ids` is one id, or nothing that has several.
            InvalidQuery: one is a row, and no id.
            ConfigurationError: the class isn't live.
        """
        cls._repository.announce(cls._declared_live(), ids)

    @yielding_method
    def silent(cls) -> AbstractContextManager[None]:
        """Within `with Todo.silent():` the changes of a live class are not announced; for migrations and imports.

        Raises:
            ConfigurationError: the class isn't live.
        """
        return cls._declared_live().silent()

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

        `None` matches NULL, a list or a set any of its items, a tuple of two the range between them, ends included
        (None leaves an end open), and any other value what equals it. For a JSON column every value is compared for
        equality, and `None` matches JSON's null, too. SQLite, and PostgreSQL except for `JSONB`, compare JSON as text:
        a dict equals one that was saved with its keys in the same order. For an enum give its members, `Rank.LOW` and
        not 1: the column has their names.

        Use `where` for a field with the name of an option (`limit`).

        Args:
            as_dict: return dicts of the fields instead of entities.
            fields: return these fields alone, as named tuples, or as dicts with `as_dict`.
            exact_match: False matches text that contains the value, ignoring case; there are no wildcards.
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
        """The entities with a text in one of their string columns, ignoring case; there are no wildcards.

        Without a text, or with an empty one, all entities. `id` and foreign keys are not searched.

        Args:
            as_dict: return dicts of the fields instead of entities.
            fields: with `as_dict` the fields of the dicts; otherwise the fields to search, which may include keys.
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
