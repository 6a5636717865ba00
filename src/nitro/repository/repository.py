"""`SQLModelRepository`: runs the queries and writes of `Entity`, each in a session of its own.

Controls the transactions; `query` builds the statements, `database` holds the connections.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import URL, ColumnElement, Engine, Select, delete, func, inspect, update
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.orm import make_transient
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session, SQLModel, col, select

from nitro.entities.entity import Entity
from nitro.entities.exact_decimal import misfits_in
from nitro.entities.missing_table import told_of_tables
from nitro.entities.relationships import drop_stale, mark_as_row
from nitro.errors import InvalidQuery, NitroWarning
from nitro.repository import query
from nitro.repository.database import CASEFOLD, Database
from nitro.repository.query import Page
from nitro.settings import get_settings

if TYPE_CHECKING:
    from nitro.live.declaring import LiveModel
    from nitro.live.model import LiveTable

__all__ = ["SQLModelRepository", "default_repository"]

E = TypeVar("E", bound=Entity)
T = TypeVar("T")

_READ_AT_ONCE = 500  # ids in one statement: every database takes that many parameters
_FROM_INIT_DB = 4  # stacklevel of the caller of init_db
OVERLAPS = 4  # retries after a conflict with a concurrent writer


class SQLModelRepository:
    """Stores entities in the database at `url`, a SQLAlchemy URL; the `NITRO_DB_URL` setting by default.

    Nothing is opened before it is needed. All methods are thread-safe. Entities are passed and returned as plain values
    that belong to no session. Raises `InvalidQuery` for invalid arguments, and `ConfigurationError` for a URL that
    can't be used; SQLAlchemy's own exceptions pass through.
    """

    def __init__(self, url: str | SecretStr | URL | None = None) -> None:
        self._database = Database(url)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for migrations and for the application's own sessions."""
        return self._database.engine

    def init_db(self) -> None:
        """Create the missing tables of all entity classes that have been imported.

        May be called repeatedly, and by several processes at once; existing tables are not changed.
        """
        self._with_retries(self._create_tables, DBAPIError)

    def close(self) -> None:
        """Close idle connections. The repository stays usable and opens new ones."""
        self._database.close()

    def save(self, entity: Entity) -> None:
        """Insert `entity`, or update the row with its `id`; then copy the rows' values to all saved objects."""
        query.mapper_of(type(entity))
        conflicts = (IntegrityError, StaleDataError, InvalidRequestError)  # the last is a refresh of a row that is gone
        written = self._with_retries(lambda: self._write(entity), *conflicts)
        for saved, values in written:
            for name, value in values.items():
                set_committed_value(saved, name, value)
            mark_as_row(saved)
        for saved, _ in written:
            drop_stale(saved)

    def delete(self, entity: Entity) -> bool:
        """Delete the row with the entity's `id`; False if there was none."""
        query.mapper_of(type(entity))
        with self._writing(type(entity)) as session:
            row = session.get(type(entity), entity.id, with_for_update=True)
            if row is not None:
                session.delete(row)
            return row is not None

    def get(self, entity_type: type[E], id: str) -> E | None:
        """The entity with this `id`, or `None`."""
        _check_id(entity_type, id)
        with self._reading(entity_type) as session:
            return session.get(entity_type, id)

    def exists(self, entity_type: type[E], id: str) -> bool:
        """Whether there is a row with this `id`."""
        _check_id(entity_type, id)
        statement = select(entity_type.id).where(entity_type.id == id)
        with self._reading(entity_type) as session:
            return session.exec(statement).first() is not None

    def where(
        self,
        entity_type: type[E],
        *expressions: ColumnElement[bool] | bool,
        order_by: Any = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[E]:
        """The entities for which all expressions hold."""
        keys = query.order(entity_type, order_by)
        page = Page(limit=limit, offset=offset)
        return self._rows(entity_type, expressions, page, keys)

    def rows(self, statement: Select[Any], show: Callable[[Sequence[Any]], T]) -> list[T]:
        """What `show` makes of each row that a statement selects."""
        with self._database.reading() as session:
            return [show(row) for row in session.execute(statement)]

    def count(self, entity_type: type[E], *expressions: ColumnElement[bool] | bool) -> int:
        """The number of rows for which all expressions hold."""
        query.mapper_of(entity_type)
        statement = select(func.count()).select_from(entity_type).where(*expressions)
        with self._reading(entity_type) as session:
            return session.exec(statement).one()

    def delete_where(self, entity_type: type[E], *expressions: ColumnElement[bool]) -> int:
        """Delete the rows for which all expressions hold; return their number."""
        _check_selects(entity_type, "delete", expressions)
        statement = delete(entity_type).where(*expressions).execution_options(synchronize_session=False)
        with self._writing(entity_type) as session:
            return session.exec(statement).rowcount

    def update_where(self, entity_type: type[E], *expressions: ColumnElement[bool], fields: Mapping[str, Any]) -> int:
        """Set fields of the rows for which all expressions hold; return their number."""
        _check_selects(entity_type, "update", expressions)
        if not fields:
            raise InvalidQuery(f"{entity_type.__name__}.update_where sets no field; name some: some_field=value")
        values = {query.column(entity_type, field).key: value for field, value in fields.items()}
        statement = update(entity_type).where(*expressions).values(values)
        with self._writing(entity_type) as session:
            return session.exec(statement.execution_options(synchronize_session=False)).rowcount

    def create_many(self, entity_type: type[E], entities: Sequence[E]) -> None:
        """Insert entities in one transaction; then copy the rows' values to them."""
        query.mapper_of(entity_type)
        with self._writing(entity_type) as session:
            rows = [copy(each) for each in entities]
            for row in rows:
                make_transient(row)
            session.add_all(rows)
            session.flush()
            session.expire_all()
            ids = [entity.id for entity in entities]
            for start in range(0, len(ids), _READ_AT_ONCE):  # one statement for many rows
                session.exec(
                    select(entity_type).where(col(entity_type.id).in_(ids[start : start + _READ_AT_ONCE]))
                ).all()
            values = [_values_of(row) for row in rows]
        for entity, written in zip(entities, values, strict=True):
            for name, value in written.items():
                set_committed_value(entity, name, value)
            mark_as_row(entity)

    def announce(self, live: LiveModel, ids: Iterable[str]) -> None:
        """Announce rows of a live class as changed; see `Entity.changed`."""
        with self._database.writing() as session:
            live.changed(ids, session)

    def filter(
        self,
        entity_type: type[E],
        values: Mapping[str, Any],
        *,
        sorting_field: str | None = None,
        sort_direction: str = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: bool = False,
        fields: Sequence[str] | None = None,
        exact_match: bool = True,
    ) -> list[Any]:
        """The entities whose fields have these values; see `Entity.filter`."""
        page = Page(sorting_field, sort_direction, limit, offset)
        casefold = None if exact_match else self._casefold
        dialect = self.engine.dialect
        conditions = query.matching(entity_type, values, exact=exact_match, casefold=casefold, dialect=dialect)
        return self._rows(entity_type, conditions, page, fields=fields, as_dict=as_dict)

    def search(
        self,
        entity_type: type[E],
        text: str | None = None,
        *,
        sorting_field: str | None = None,
        sort_direction: str = "asc",
        limit: int | None = None,
        offset: int | None = None,
        as_dict: bool = False,
        fields: Sequence[str] | None = None,
    ) -> list[Any]:
        """The entities with `text`, in any case, in one of their string columns; see `Entity.search`."""
        if text is not None and not isinstance(text, str):
            raise InvalidQuery(f"the text to search for is {text!r}; it has to be a string")
        page = Page(sorting_field, sort_direction, limit, offset)
        looked_into, shown = (None, fields) if as_dict else (fields, None)
        conditions = []
        if text or looked_into is not None:
            columns = query.text_columns(entity_type, looked_into)
            conditions = [query.searched(columns, text, casefold=self._casefold)] if text else []
        return self._rows(entity_type, conditions, page, fields=shown, as_dict=as_dict)

    @property
    def _casefold(self) -> str | None:
        return CASEFOLD if self.engine.dialect.name == "sqlite" else None

    def _rows(
        self,
        entity_type: type[E],
        conditions: Iterable[ColumnElement[bool] | bool],
        page: Page,
        order: Iterable[Any] = (),
        *,
        fields: Sequence[str] | None = None,
        as_dict: bool = False,
    ) -> list[Any]:
        query.mapper_of(entity_type)
        chosen = None if fields is None else query.columns_of(entity_type, fields)
        selected: Any = select(entity_type) if chosen is None else sqlalchemy.select(*chosen)
        statement = page.of(entity_type, selected.where(*conditions).order_by(*order))
        with self._reading(entity_type) as session:
            if chosen is not None:
                rows = session.execute(statement).all()
                return [dict(row._mapping) for row in rows] if as_dict else list(rows)
            entities = session.scalars(statement).all()
            return [entity.model_dump() for entity in entities] if as_dict else list(entities)

    def _write(self, entity: Entity) -> list[tuple[Any, dict[str, Any]]]:
        """Merge copies of the objects into the session; return the caller's objects with the rows' values."""
        names = query.mapper_of(type(entity)).column_attrs.keys()
        with _under_its_id(entity), self._writing(type(entity)) as session:
            locked = session.get(type(entity), entity.id, with_for_update=True)
            with _announced(session, locked, type(entity)._nitro_live) as written:
                row = session.merge(entity)
                session.flush()
                session.refresh(row, names)
                written.append(row)
            del locked  # kept until here: the session references rows weakly, and merge has to find this one
            return [(given, _values_of(row)) for given, row in _saved_with(entity, row)]

    @contextmanager
    def _reading(self, entity_type: type[Entity]) -> Iterator[Session]:
        with told_of_tables(entity_type.__name__), self._database.reading() as session:
            yield session

    @contextmanager
    def _writing(self, entity_type: type[Entity]) -> Iterator[Session]:
        with told_of_tables(entity_type.__name__), self._database.writing() as session:
            yield session

    def _with_retries(self, work: Callable[[], T], *failures: type[Exception]) -> T:
        """Run `work`; if writers run concurrently, retry it after a conflict, up to `OVERLAPS` times."""
        for _ in range(OVERLAPS if self._database.writers_overlap else 0):
            try:
                return work()
            except failures:
                continue
        return work()

    def _create_tables(self) -> None:
        with self._database.defining() as connection:
            SQLModel.metadata.create_all(connection)
            misfits = misfits_in(connection, SQLModel.metadata)
        anew = "rename it, let init_db() create it again, and copy the rows"
        if misfits.rounding:
            warnings.warn(
                f"SQLite keeps 15 digits of {', '.join(misfits.rounding)} and no trailing zeros, as an older version "
                f"created the table; {anew}",
                NitroWarning,
                stacklevel=_FROM_INIT_DB,
            )
        if misfits.unordered:
            warnings.warn(
                f"SQLite compares {', '.join(misfits.unordered)} as text, so that 10 is less than 9, as the table was "
                f"created, or a migration made it anew, without the collation nitro_decimal; {anew}",
                NitroWarning,
                stacklevel=_FROM_INIT_DB,
            )

    def __repr__(self) -> str:
        return f"<SQLModelRepository {self._database!r}>"


@contextmanager
def _under_its_id(entity: Entity) -> Iterator[None]:
    """Within it, an entity whose id was changed since it was read is no row. If the block raises, it is as it was."""
    state = inspect(entity)
    key, session, expired = state.key, state.session, set(state.expired_attributes)
    if state.identity is None or state.identity == (entity.id,):
        yield
        return
    make_transient(entity)
    try:
        yield
    except BaseException:
        state.key = key
        state.expired_attributes.update(expired)
        if session is not None:
            session.add(entity)
        raise


@contextmanager
def _announced(session: Session, locked: Entity | None, live: LiveTable | None) -> Iterator[list[Entity]]:
    """Spare a live class the statements that read its row before and after the write: both are done already."""
    written: list[Entity] = []
    if live is None:
        yield written
        return
    from nitro.live.changes import changes_of

    changes, connection = changes_of(session), session.connection()
    changes.may_write(connection)
    if locked is not None and not live.is_silent:
        before = live.row_of(locked)
        changes.touch_rows(live, {live.sender_of(live.key_of(before)): before}, connection)
    yield written
    changes.know(live, live.row_of(written[0]))


def _saved_with(entity: Entity, row: Entity) -> list[tuple[Any, Any]]:
    """Pairs of each object that a merge has copied and its copy, starting with `entity`."""
    found: dict[int, tuple[Any, Any]] = {}
    rest: list[tuple[Any, Any]] = [(entity, row)]
    while rest:
        given, copy = rest.pop()
        if id(given) in found or given is None or copy is None:
            continue
        found[id(given)] = (given, copy)
        for relationship in inspect(type(given)).relationships:
            related, copied = given.__dict__.get(relationship.key), copy.__dict__.get(relationship.key)
            if isinstance(related, list) and isinstance(copied, list):
                rest += zip(related, copied, strict=False)
            elif not relationship.uselist:
                rest.append((related, copied))
    return list(found.values())


def _values_of(row: Any) -> dict[str, Any]:
    names = query.mapper_of(type(row)).column_attrs.keys()
    return {name: getattr(row, name) for name in names}


def _check_selects(entity_type: type[Entity], verb: str, expressions: Sequence[Any]) -> None:
    query.mapper_of(entity_type)
    if not expressions or any(isinstance(each, bool) for each in expressions):
        name = entity_type.__name__
        raise InvalidQuery(
            f"{name}.{verb}_where({', '.join(map(repr, expressions))}) selects no rows; give it expressions of the "
            f"class's columns, {name}.some_field == value, or sqlalchemy.true() to {verb} all"
        )


def _check_id(entity_type: type[Entity], id: str) -> None:
    query.mapper_of(entity_type)
    if not isinstance(id, str):
        raise InvalidQuery(f"the id of a {entity_type.__name__} is a string; this is {id!r}")


_shared: dict[str, SQLModelRepository] = {}


def default_repository() -> SQLModelRepository:
    """The shared repository of entities: one for each value that `NITRO_DB_URL` has had in this process."""
    url = get_settings().db_url.get_secret_value()
    return _shared.get(url) or _shared.setdefault(url, SQLModelRepository(url))
