"""`Record`: a SQLModel that validates with `table=True`, too. The base class of `Entity`.

Keeps pydantic's and SQLAlchemy's view of an object consistent. A plain SQLModel with `table=True` accepts any value on
creation, keeps a rejected one on assignment, shares SQLAlchemy's state between copies, and marks no field as set in an
object that was read from the database.

Objects of a table have SQLAlchemy's state in `__dict__`. A candidate is an object without it: pydantic validates into
a candidate, and only valid values are copied to the object that others can see.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pydantic import ConfigDict
from pydantic_core import PydanticUndefined
from sqlalchemy import Table, event
from sqlalchemy.orm import Mapper, class_mapper, reconstructor
from sqlalchemy.orm.attributes import set_attribute
from sqlmodel import SQLModel
from sqlmodel.main import SQLModelMetaclass

from nitro.entities.exact_decimal import keep_digits
from nitro.entities.relationships import checked_attribute, has, is_row, mark_as_row
from nitro.errors import ConfigurationError

if TYPE_CHECKING:
    from nitro.live.declaring import LiveModel

__all__ = ["Record"]

STATE = "_sa_instance_state"
IS_ROW = "nitro_is_row"


class RecordType(SQLModelMetaclass):
    """Declares a class to be live: `class Todo(Entity, table=True, live=True)`, or `topic="task"` besides."""

    def __new__(cls, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any], **options: Any) -> RecordType:
        options.pop("live", None)
        options.pop("topic", None)
        created: RecordType = super().__new__(cls, name, bases, namespace, **options)
        return created

    def __init__(
        cls,
        name: str,
        bases: tuple[type[Any], ...],
        namespace: dict[str, Any],
        *,
        live: bool = False,
        topic: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, bases, namespace, **options)
        if live:
            from nitro.live.declaring import live_model  # as Entity finds its repository: only if it is asked for

            cls._nitro_live = live_model(cls, topic)
        elif topic is not None:
            raise ConfigurationError(f"{name} has topic={topic!r} and isn't live: add live=True")


class Record(SQLModel, metaclass=RecordType):
    """Validated on creation and on assignment, which raise `pydantic.ValidationError`; rejects unknown fields.

    A rejected assignment changes nothing. Two records are equal if they have the same class and values; the hash uses
    the class and the field `id` alone, so it is stable when other fields change.
    """

    _nitro_live: ClassVar[LiveModel | None] = None
    _nitro_validates: ClassVar[bool] = True
    """For those who ask it of any model, and can't import this class."""

    model_config: ClassVar[ConfigDict] = ConfigDict(  # type: ignore[assignment]  # SQLModel doesn't export its own type
        validate_assignment=True, extra="forbid"
    )

    def __init__(self, **data: Any) -> None:
        """Validate `data` and initialise the object; raises `pydantic.ValidationError`."""
        if self._is_table():
            self._adopt(self._candidate(data), data)
        else:
            super().__init__(**data)

    def __setattr__(self, name: str, value: Any) -> None:
        """Validate and assign; a rejected value leaves the old one, whatever validators there are."""
        if not self._is_table() or name not in type(self).model_fields:
            super().__setattr__(name, value)
        elif STATE not in self.__dict__:
            # A candidate: one of the class's validators assigns, and validating that would recurse without end.
            self.__dict__[name] = value
            self.__pydantic_fields_set__.add(name)
        else:
            candidate = self._without_state()
            self.__pydantic_validator__.validate_assignment(candidate, name, value)
            self._adopt(candidate)

    @classmethod
    def model_validate(  # type: ignore[override]  # the signature is SQLModel's, which isn't pydantic's either
        cls,
        obj: Any,
        *,
        strict: bool | None = None,
        from_attributes: bool | None = None,
        context: dict[str, Any] | None = None,
        update: dict[str, Any] | None = None,
    ) -> Self:
        """A new object from a mapping or an object with attributes; `update` takes precedence."""
        if not cls._is_table():
            return super().model_validate(
                obj, strict=strict, from_attributes=from_attributes, context=context, update=update
            )
        names = (*cls.model_fields, *cls.__sqlmodel_relationships__)
        if isinstance(obj, Mapping):
            obj = {**obj, **(update or {})}
        elif update or cls.__sqlmodel_relationships__:
            obj = {name: getattr(obj, name) for name in names if has(obj, name)} | (update or {})
        candidate = cls._candidate(obj, strict=strict, from_attributes=from_attributes, context=context)
        record: Self = cls.__new__(cls)
        record._track()
        record._adopt(candidate, obj if isinstance(obj, dict) else {})
        return record

    if not TYPE_CHECKING:  # the type checkers know pydantic's own signature, field by field

        @classmethod
        def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
            """An object from values that are known to be valid, without validation."""
            record = super().model_construct(_fields_set, **values)
            record._track()
            return record

    def __copy__(self) -> Self:
        twin = self._without_state()
        twin._track(as_row=is_row(self))
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        twin = memo[id(self)] = self._without_state()
        for slot in ("__dict__", "__pydantic_private__"):
            object.__setattr__(twin, slot, deepcopy(getattr(twin, slot), memo))
        twin._track(as_row=is_row(self))
        return twin

    def __getstate__(self) -> dict[Any, Any]:
        return {**super(Record, self._without_state()).__getstate__(), IS_ROW: is_row(self)}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__({key: value for key, value in state.items() if key != IS_ROW})
        self._track(as_row=state.get(IS_ROW, False))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self._values() == cast("Self", other)._values()

    def __hash__(self) -> int:
        return hash((type(self), self.__dict__.get("id")))

    @classmethod
    def _is_table(cls) -> bool:
        return bool(cls.model_config.get("table"))

    @classmethod
    def _candidate(cls, data: Any, **options: Any) -> Self:
        """A validated candidate from `data`, without the relationships, which pydantic doesn't handle."""
        if isinstance(data, dict):
            data = {name: data[name] for name in data if name not in cls.__sqlmodel_relationships__}
        candidate: Self = cls.__new__(cls)
        cls.__pydantic_validator__.validate_python(data, self_instance=candidate, **options)
        return candidate

    def _adopt(self, candidate: Self, data: Mapping[str, Any] | None = None) -> None:
        """Copy a candidate's fields, and the relationships in `data`, by way of SQLAlchemy's change tracking."""
        for name in type(self).model_fields:
            value = candidate.__dict__.get(name, PydanticUndefined)
            if value is not PydanticUndefined and self.__dict__.get(name, PydanticUndefined) is not value:
                set_attribute(self, name, value)
        for slot in ("__pydantic_fields_set__", "__pydantic_private__"):
            object.__setattr__(self, slot, getattr(candidate, slot))
        for name in self.__sqlmodel_relationships__:
            if data is not None and name in data:
                setattr(self, name, data[name])

    def _without_state(self) -> Self:
        """A candidate with the values of this object."""
        candidate = super().__copy__()
        candidate.__dict__.pop(STATE, None)
        return candidate

    def _track(self, *, as_row: bool = False) -> None:
        """Give an object that was made without `__init__` its own SQLAlchemy state, outside any session.

        Configures the mappers, if nothing has yet: without, no attribute of the object can be read or set.
        """
        if self._is_table():
            class_mapper(type(self)).class_manager.setup_instance(self)
            if as_row:
                mark_as_row(self)

    @reconstructor
    def _loaded(self) -> None:
        """Called by SQLAlchemy for an object read from a row, whose columns may be in any order.

        Restores the declared order of the fields and marks all as set; private attributes get their defaults.
        """
        for name in type(self).model_fields:
            if name in self.__dict__:
                self.__dict__[name] = self.__dict__.pop(name)
        object.__setattr__(self, "__pydantic_fields_set__", set(type(self).model_fields))
        defaults = {name: private.get_default() for name, private in self.__private_attributes__.items()}
        known = {name: value for name, value in defaults.items() if value is not PydanticUndefined}
        object.__setattr__(self, "__pydantic_private__", known if defaults else None)

    def _values(self) -> dict[str, Any]:
        return {name: self.__dict__.get(name) for name in type(self).model_fields}


@event.listens_for(Record, "instrument_class", propagate=True)
def _prepare_table(mapper: Mapper[Any], kind: type[Record]) -> None:
    if isinstance(mapper.local_table, Table):
        keep_digits(mapper.local_table)
    if kind.__sqlmodel_relationships__:  # it slows down each attribute access, so only where needed
        type.__setattr__(kind, "__getattribute__", checked_attribute)
