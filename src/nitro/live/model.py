"""`LiveTable`: a mapped class whose rows are announced when they change, as a table: how they are read and sent.

Made by `live_model`, or by `class Todo(Entity, table=True, live=True)`; used by what finds changes and announces them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from enum import Enum as PythonEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import (
    CHAR,
    NCHAR,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Enum,
    Integer,
    Select,
    String,
    Table,
    TableClause,
    TypeDecorator,
    Update,
    Uuid,
    bindparam,
    column,
    false,
    select,
    table,
    tuple_,
    update,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Mapper, class_mapper, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.exc import UnmappedClassError
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import TypeEngine

from nitro import tracing
from nitro.brokers.base import Draft
from nitro.delivery.process import get_hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidQuery
from nitro.events.emission import draft_change
from nitro.events.event import Event, event
from nitro.live.reading import Source
from nitro.live.row_codec import ChangedRow, Row, payloads_of
from nitro.messages.row_changes import ROW_CHANGES
from nitro.repository.memory import is_in_memory

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.orm import Session

__all__ = ["Key", "LiveTable"]

Key = tuple[Any, ...]
"""The values of a row's primary key."""

_READ_AT_ONCE: Final = 500
"""Keys in one statement: every database takes that many parameters."""
_NEW_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPECIAL: Final = re.compile(r"[:\\]")
_silent: Final[ContextVar[frozenset[LiveTable]]] = ContextVar("nitro_silent", default=frozenset())


class LiveTable:
    """The table of a mapped class whose rows are announced when they change.

    Args:
        model: the class, of SQLModel or SQLAlchemy, with a table of its own.
        topic: its events are `topic.created`, `topic.updated`, `topic.deleted` and `topic.reset`; by default the
            class's name in snake case.
        exclude: attributes that stay on the server, besides those declared with `Field(exclude=True)`.
        engine: what live queries read rows with; an entity's repository by default.

    Attributes:
        model, topic: as given.
        mapper, table: SQLAlchemy's view of it.
        keys, key_names, key_attributes: the columns of the primary key, their names in SQL and in the model.
        names: the attributes that columns have, in the order of a `Row`.
        shown_columns: the columns of those that clients may get, by attribute; the others stay on the server.
        enums: the enums that they have, or that the items of their arrays have, by attribute.
        writes_nothing: a statement that makes a transaction of SQLite the writer.
        created, updated, deleted, reset: its events.

    Raises:
        ConfigurationError: it isn't mapped, or shares its table with other classes, `exclude` names no attribute, or
            the engine has one connection for all, or is SQLite's in memory.
        ArgumentTypeError: `exclude` is a string.
        InvalidTopic, TopicTypeError: the topic breaks the grammar.
    """

    def __init__(
        self,
        model: type[Any],
        topic: str | None = None,
        exclude: Collection[str] = (),
        engine: Engine | AsyncEngine | None = None,
    ) -> None:
        self.model: type[Any] = model
        self.topic: str = topic or _NEW_WORD.sub("_", model.__name__).lower()
        self.mapper: Mapper[Any] = _mapped(model)
        self.table: TableClause = self.mapper.local_table  # type: ignore[assignment]  # _mapped has looked
        columns = {name: each for name, each in self.mapper.columns.items() if isinstance(each, Column)}
        if isinstance(exclude, str):
            raise ArgumentTypeError(f"exclude takes a list of attributes: write exclude=[{exclude!r}]")
        if unknown := set(exclude) - set(columns):
            raise ConfigurationError(f"{model.__name__} has no column {', '.join(sorted(unknown))} to exclude")
        self.names: tuple[str, ...] = tuple(columns)
        self.keys: tuple[ColumnElement[Any], ...] = tuple(self.mapper.primary_key)
        self.key_names: tuple[str, ...] = tuple([str(key.key) for key in self.keys])
        self.key_attributes: tuple[str, ...] = tuple([self.mapper.get_property_by_column(key).key for key in self.keys])
        self.created: Event = event(f"{self.topic}.created")
        self.updated: Event = event(f"{self.topic}.updated")
        self.deleted: Event = event(f"{self.topic}.deleted")
        self.reset: Event = event(f"{self.topic}.reset")
        fields = getattr(model, "model_fields", {})
        self._exclude = frozenset(exclude)
        hidden = self._exclude | {name for name, field in fields.items() if field.exclude}
        self.shown_columns: dict[str, Column[Any]] = {
            name: each for name, each in columns.items() if name not in hidden
        }
        kinds = {name: getattr(each.type, "item_type", each.type) for name, each in self.shown_columns.items()}
        enums = {name: getattr(kind, "enum_class", None) for name, kind in kinds.items()}
        self.enums: dict[str, type[PythonEnum]] = {name: kind for name, kind in enums.items() if kind is not None}
        if engine is not None and (
            isinstance(engine.pool, StaticPool) or (engine.dialect.name == "sqlite" and is_in_memory(engine.url))
        ):
            raise ConfigurationError(
                "with a StaticPool's one connection for all, or with SQLite in memory, rows would be read in the midst "
                "of another's transaction; give an engine with another pool, such as that of a file"
            )
        self._engine = engine
        self._columns = {name: place for place, name in enumerate(self.names) if name not in hidden}
        self._places = tuple([self.names.index(name) for name in self.key_attributes])
        self._all = select(*columns.values())
        self._plain = [_plain_type(each.type) for each in self.keys]
        bare = table(self.table.name, column(self.keys[0].name), schema=self.mapper.local_table.schema)
        self.writes_nothing: Update = update(bare).values({bare.c[0]: bare.c[0]}).where(false())
        key = self.keys[0] if len(self.keys) == 1 else tuple_(*self.keys)
        self._by_key = self._all.where(key.in_(bindparam("keys", expanding=True)))

    def read(
        self, connection: Connection, keys: Iterable[Key], *, lock: bool = False, is_deleting: bool = False
    ) -> dict[str, Row]:
        """The rows with these keys that exist, by `sender_of` their own keys.

        Args:
            lock: no other transaction changes them before this one ends, where the database locks rows.
            is_deleting: the lock is that of a DELETE. That of an UPDATE lets others refer to the row meanwhile.
        """
        statement = self._by_key.with_for_update(key_share=not is_deleting) if lock else self._by_key
        keys = list(keys)
        found: dict[str, Row] = {}
        rest = iter(keys)
        while some := [key[0] if len(key) == 1 else key for key in islice(rest, _READ_AT_ONCE)]:
            for row in connection.execute(statement, {"keys": some}):
                found[self.sender_of(self.key_of(tuple(row)))] = tuple(row)
        asked = [sender for key in keys if (sender := self.sender_of(key)) in found]
        return dict.fromkeys(asked, ()) | found  # in the order in which they were asked for

    def matching(
        self, connection: Connection, where: Any, values: Mapping[str, Any], limit: int, *, is_deleting: bool
    ) -> dict[str, Row]:
        """The rows for which a condition holds, as `read` with `lock` has them; all rows if it is None."""
        statement = self._all if where is None else self._all.where(where)
        rows = connection.execute(
            statement.limit(limit).with_for_update(of=self.table, key_share=not is_deleting), values
        )
        return {self.sender_of(self.key_of(tuple(row))): tuple(row) for row in rows}

    def row_of(self, record: object) -> Row:
        """The values of a loaded object's columns."""
        return tuple([getattr(record, name) for name in self.names])

    @property
    def source(self) -> Source:
        """What rows of live queries are read from.

        Raises:
            ConfigurationError: there is nothing.
        """
        source: Source | None = self._engine or getattr(self.model, "_repository", None)
        if source is None:
            name = self.model.__name__
            raise ConfigurationError(
                f"a live query of {name} has to read its rows: nitro.live_model({name}, engine=engine), with the "
                f"Engine or AsyncEngine that your sessions have"
            )
        return source

    @property
    def dialect(self) -> str:
        """The name of its database's dialect; raises ConfigurationError, as `source`."""
        return str(self.source.engine.dialect.name)  # an engine's `engine` is itself

    def select_shown(self) -> Select[Any]:
        """Selects what clients may get of each row."""
        return select(*self.shown_columns.values())

    def key_in(self, values: Mapping[str, Any]) -> Key:
        """The primary key in what clients may get, by attribute.

        Raises:
            KeyError: a part of it is excluded.
        """
        return tuple([values[self.names[place]] for place in self._places])

    def key_of(self, row: Row) -> Key:
        """The row's primary key."""
        return tuple([row[place] for place in self._places])

    def is_plain(self, key: Key) -> bool:
        """Whether the database gives back these values as they are, so that their text is the row's sender."""
        return all(type(value) is plain for value, plain in zip(key, self._plain, strict=True))

    def sender_of(self, key: Key) -> str:
        """The sender of the row's events: its id as text; of a composite key its values joined by `:`, with a
        backslash before each `:` and each backslash in a value.
        """
        return str(key[0]) if len(key) == 1 else ":".join([_SPECIAL.sub(r"\\\g<0>", str(value)) for value in key])

    def shown(self, row: Row) -> dict[str, Any]:
        """The row as clients get it, by its model if that is pydantic's."""
        return self.shown_values(dict(zip(self.names, row, strict=True)))

    def shown_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same, of values by attribute; those that clients don't get may be missing."""
        if hasattr(self.model, "model_construct"):
            record = self.model.model_construct(**values)
            shown: dict[str, Any] = record.model_dump(mode="json", exclude=set(self._exclude) or None)
            return shown
        return {name: value for name, value in values.items() if name not in self._exclude}

    def record_of(self, values: Mapping[str, Any]) -> Any:
        """An instance with these values by attribute, as if a session had read it and was closed: other attributes,
        and relations, raise `DetachedInstanceError`.
        """
        record = class_mapper(self.model).class_manager.new_instance()  # configures the mappers, if nothing has yet
        for name, value in values.items():
            set_committed_value(record, name, value)
        make_transient_to_detached(record)
        return record

    def shown_key(self, key: Key) -> dict[str, Any]:
        """The row's primary key as clients get it."""
        return dict(zip(self.key_attributes, key, strict=True))

    def key_from(self, id: Any) -> Key:
        """The key that an application gives as an id: a value, or a tuple of them for a composite key.

        Raises:
            InvalidQuery: it has another number of values, or is a row.
        """
        if isinstance(id, self.model):
            raise InvalidQuery(f"this is a row of {self.model.__name__}; give its id")
        key = id if isinstance(id, tuple) else (id,)
        if len(key) != len(self.keys):
            raise InvalidQuery(
                f"the primary key of {self.model.__name__} is ({', '.join(self.key_names)}), which {id!r} isn't"
            )
        return key

    def draft(self, signal: Event, key: Key, row: Row | None, session: Session) -> Draft | None:
        """Call the handlers of one of its events for a row; None stands for a row that is gone. Returns the message
        to publish; None if a handler keeps it back.
        """
        result = self.shown_key(key) if row is None else self.shown(row)
        return draft_change(signal, self.sender_of(key), result, session)

    def drafts_for_queries(self, rows: Sequence[ChangedRow] | None) -> list[Draft]:
        """What tells the live queries of all processes; None stands for too many rows, or unknown ones."""
        max_bytes = get_hub().settings.max_payload_bytes
        payloads = payloads_of(self.topic, self._columns, rows, max_bytes)
        return [Draft(ROW_CHANGES, None, payload, None) for payload in payloads]

    def draft_reset(self, session: Session) -> Draft | None:
        """As `draft`, of a reset."""
        return draft_change(self.reset, None, {}, session)

    def publish(self, drafts: Iterable[Draft | None], session: Session, connection: Connection) -> None:
        """Publish what handlers didn't keep back, in the session's transaction, or right after it."""
        messages = [message for message in drafts if message is not None]
        if messages:
            tracer = tracing.tracer
            with nullcontext() if tracer is None else tracer.publishing_rows(f"{self.topic}.*", len(messages)):
                get_hub().publish_with(session, messages, connection)

    @property
    def is_silent(self) -> bool:
        """Whether changes that are made now are not announced."""
        return self in _silent.get()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Statements that are executed within are not announced: for migrations and imports. What a session flushes
        later is executed later.
        """
        token = _silent.set(_silent.get() | {self})
        try:
            yield
        finally:
            _silent.reset(token)

    def __repr__(self) -> str:
        return f"<LiveTable {self.model.__name__}, {self.topic}.*>"


def _plain_type(kind: TypeEngine[Any]) -> type[Any] | None:
    """The type of values that a column takes and gives back as they are; None if it may change some."""
    if isinstance(kind, TypeDecorator) and type(kind).__module__.startswith("sqlmodel."):  # its text
        kind = kind.impl_instance
    if isinstance(kind, Integer):
        return int
    if isinstance(kind, Uuid):
        return UUID
    return (
        str if isinstance(kind, String) and not isinstance(kind, Enum | CHAR | NCHAR) and not kind.collation else None
    )


def _mapped(model: type[Any]) -> Mapper[Any]:
    name = getattr(model, "__name__", repr(model))
    try:
        mapper: Mapper[Any] = class_mapper(model, configure=False)  # its relations may not be declared yet
    except (ArgumentError, UnmappedClassError):
        raise ConfigurationError(
            f"{name} has no table: give a class that SQLModel or SQLAlchemy maps to one, which an abstract base isn't"
        ) from None
    if not isinstance(mapper.local_table, Table):
        raise ConfigurationError(f"{name} is mapped to no table, but to {type(mapper.local_table).__name__}")
    if mapper.inherits is not None or mapper.polymorphic_on is not None:
        raise ConfigurationError(
            f"{name} inherits its table, or shares it with classes that inherit it, and so can't be live"
        )
    return mapper
