"""The schema of an event: what its results are, and so what of them is sent and what is refused.

Made with the event; an emission validates a result by it, and sends what it lets through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence, Set
from typing import Annotated, Any, Final, Generic, get_origin

from pydantic import BaseModel, PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import TypeVar

from nitro.errors import ConfigurationError, InvalidPayload
from nitro.events.nones import has_doubtful_none, is_none_at
from nitro.events.nonfinite import check_constants, check_nulls, inspected
from nitro.events.payload import SURELY_PARSABLE_BYTES, check_parsable, sendable
from nitro.events.unsendable import told_place_of

__all__ = ["Schema"]

T = TypeVar("T", default=Any)

_SHOWN_ERRORS: Final = 3
_WITHOUT_VALUES: Final = {
    "union_tag_invalid": "Input should have one of the tags {expected_tags} in {discriminator}",
    "uuid_parsing": "Input should be a valid UUID",
}
"""The reasons of pydantic's, by their type, whose own text shows the value or a part of it."""
_READ_NO_OBJECTS: Final = frozenset({"dataclass_type", "dict_type"})
"""The types of errors by which TypedDicts and dataclasses refuse an object."""
_IS_NO_NONE: Final = re.compile(r"(_type|^enum|^literal_error)$")
"""The types of pydantic's own errors by which fields refuse None."""
_NOT_DEFINED: Final = ("class-not-fully-defined", "undefined-annotation")
_MODULES: Final = re.compile(r"[\w<>]+\.")


class Schema(Generic[T]):
    """What the results of one event are.

    Args:
        of: anything that pydantic knows: a model, a dataclass, a TypedDict, a union, a list of these. Not a table of
            SQLModel, whose instances aren't validated; that of an entity is.
        topic: the event's name, for errors.

    Attributes:
        of: the same.
        adapter: pydantic's, made once.

    Raises:
        ConfigurationError: pydantic doesn't know it, or it has a table of SQLModel in it.
    """

    def __init__(self, of: Any, topic: str) -> None:
        try:
            self.adapter: TypeAdapter[T] = TypeAdapter(of)
            self._validate = self.adapter.validator.validate_python
            self._to_json = self.adapter.serializer.to_json
            self._to_python = self.adapter.serializer.to_python
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            if getattr(error, "code", None) in _NOT_DEFINED:
                raise ConfigurationError(
                    f"the schema of {topic!r}, {of!r:.100}, names a type that isn't there yet: declare the event below "
                    f"all classes that its schema names"
                ) from error
            raise ConfigurationError(
                f"the schema of {topic!r}, {of!r:.100}, is nothing that pydantic can validate: {error.message}"
            ) from error
        if (table := _unvalidated(self.adapter.core_schema)) is not None:
            raise ConfigurationError(
                f"the schema of {topic!r}, {of!r:.100}, has {table.__name__} in it, a table of SQLModel, which takes "
                f"any values: make the schema a model without table=True, or {table.__name__} an Entity"
            )
        self.of: Any = of
        self._name = _named(of)
        self._topic = topic
        kinds, self._holds_models = _kinds(self.adapter)
        self._is_open = _ANYTHING in kinds
        self._has_numbers = "number" in kinds
        self._may_have_nulls = self._is_open or self._has_numbers
        self._may_have_constants = self._is_open or "ser_json_inf_nan" in repr(self.adapter.core_schema)
        is_model = isinstance(of, type) and issubclass(of, BaseModel)
        self._fields: Set[str] = of.model_fields.keys() if is_model else frozenset()

    def encode(self, result: Any, max_bytes: int, *, was_json: bool = False) -> tuple[T, bytes]:
        """`result` as the schema has it: itself if it is one, else made of its fields, or of its attributes where the
        schema is a model; and that as JSON: the schema's fields, by their aliases, and nothing else. What was parsed of
        JSON is read as such: there a strict schema takes a text for a date.

        Raises:
            InvalidPayload: it isn't what the schema says, and can't be made so, or contains NaN or infinity. Fields are
                named, and no values.
            PayloadTooLarge: its JSON is longer than `max_bytes`.
        """
        try:
            value: T = self._validate(result, from_attributes=True)
        except ValidationError as error:
            if not was_json:
                raise self._refused(error) from None
            value = self._read_again(result, error)
        is_result = value is result
        if is_result and self._fields and isinstance(value, self.of) and not self._fields <= value.__dict__.keys():
            raise self._incomplete(value)
        try:
            try:
                if is_result or self._holds_models:  # whose fields may have been changed since they were validated
                    payload = self._to_json(value, by_alias=True, warnings="error")
                else:
                    payload = self._to_json(value, by_alias=True, warnings=False)
            except PydanticSerializationError:
                payload = self._doubtful(value)
            if self._may_have_constants:
                check_constants(payload)
            has_none = payload.find(b"null") >= 0  # faster than `in`
            has_null = self._may_have_nulls and has_none
            has_empty = payload.find(b"{}") >= 0
            if has_null or has_empty or (self._is_open and payload.find(b"[") >= 0):
                self._check_inside(value, payload, has_null=has_null, has_empty=has_empty)
            if has_none and has_doubtful_none(value):
                self._check_nones(value, payload)
            if len(payload) > SURELY_PARSABLE_BYTES:
                check_parsable(payload, payload.count(b"["))
        except InvalidPayload:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            reason = str(error).encode("ascii", "backslashreplace").decode()[:300]
            reason = told_place_of(value) + reason
            raise InvalidPayload(f"result of {self._topic!r} can't be sent as {self._name}: {reason}") from None
        return value, sendable(payload, max_bytes)

    def _read_again(self, result: Any, refused: ValidationError) -> T:
        """The value of a result that was JSON, which a strict schema refuses in Python."""
        try:
            return self.adapter.validate_json(to_json(result))
        except ValueError as error:
            raise self._refused(error if isinstance(error, ValidationError) else refused) from None

    def _refused(self, error: ValidationError) -> InvalidPayload:
        return InvalidPayload(f"result of {self._topic!r} is no {self._name}: {_told(error)}{_remedy_for(error)}")

    def _incomplete(self, model: Any) -> InvalidPayload:
        missing = ", ".join(sorted(self._fields - model.__dict__.keys()))
        return InvalidPayload(
            f"result of {self._topic!r} can't be sent as {self._name}: it has no {missing}; it was changed, or never "
            f"validated, or a commit expired it"
        )

    def _doubtful(self, value: T) -> bytes:
        """The JSON of a value that pydantic doesn't write without an error. If a type in it isn't the one that the
        schema names, a validator may have returned another one, which is good if the schema reads its JSON.

        Raises:
            InvalidPayload: it doesn't.
            PydanticSerializationError: there is no JSON of it.
        """
        payload = self._to_json(value, by_alias=True, warnings=False)
        try:
            self.adapter.validator.validate_json(payload, strict=True)
        except ValidationError as error:
            raise InvalidPayload(
                f"result of {self._topic!r} can't be sent as {self._name}: {_told(error)}; it was changed, or never "
                f"validated, or a validator returns another type"
            ) from None
        return payload

    def _check_nones(self, value: T, payload: bytes) -> None:
        """Raises InvalidPayload if a None of `value` stands where the schema has none. What else it can't read of its
        own JSON is no matter here: a field by another alias, a computed one, the null of a serializer.
        """
        try:
            self.adapter.validator.validate_json(payload)
        except ValidationError as error:
            nones = [
                each
                for each in error.errors(include_url=False)
                if each["input"] is None and _IS_NO_NONE.search(each["type"]) and is_none_at(value, each["loc"])
            ]
            if nones:
                raise InvalidPayload(
                    f"result of {self._topic!r} can't be sent as {self._name}: {_told(error, nones)}; None was "
                    f"assigned, or never validated: what may be None is declared so, as in str | None"
                ) from None
        except Exception:  # noqa: BLE001 - of a validator of the application's, which reads objects and no JSON
            return

    def _check_inside(self, value: T, payload: bytes, *, has_null: bool, has_empty: bool) -> None:
        """Raises ValueError if one of its nulls is NaN or infinity in `value`, or an empty object a row that has no
        values; TypeError for an open file.
        """
        if has_null and self._has_numbers:
            json.dumps(self._to_python(value, mode="json", by_alias=True, warnings=False), allow_nan=False)
        if self._is_open or has_empty:
            _, has_nonfinite = inspected(value, is_inside=True, has_null=has_null)
            if has_nonfinite:
                check_nulls(payload, self._to_python(value, by_alias=True, warnings=False))

    def decode(self, payload: str | bytes) -> T:
        """The value that was sent as this JSON, read by the schema's aliases.

        Raises:
            InvalidPayload: it isn't what the schema says: it was sent by an older one, or by somebody else. Fields are
                named, and no values.
        """
        try:
            return self.adapter.validate_json(payload)
        except ValidationError as error:
            raise InvalidPayload(f"a message of {self._topic!r} is no {self._name}: {_told(error)}") from None

    def __repr__(self) -> str:
        return f"<Schema {self._name} of {self._topic!r}>"


def _named(of: Any) -> str:
    """What a schema is called in errors: a class by its name, other types as they are written, without modules."""
    if get_origin(of) is Annotated:
        return _named(of.__origin__)
    name = getattr(of, "__name__", None) if get_origin(of) is None else None
    return name or _MODULES.sub("", str(of))[:100]


def _told(error: ValidationError, chosen: Sequence[Any] = ()) -> str:
    """Fields and what is wrong with each, without the values, which may be secret; of all errors, or those chosen."""
    errors: Sequence[Any] = chosen or error.errors(include_url=False, include_input=False)
    told = [
        ": ".join(filter(None, (".".join(map(str, each["loc"])), _reason(each)))) for each in errors[:_SHOWN_ERRORS]
    ]
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _remedy_for(error: ValidationError) -> str:
    """What to do about an object where pydantic reads none; empty if there is none."""
    errors: Sequence[Any] = error.errors(include_url=False)
    if any(each["type"] in _READ_NO_OBJECTS and hasattr(each["input"], "__dict__") for each in errors):
        return "; attributes of an object are read by pydantic models alone: give a dict of them, or make it a model"
    return ""


def _reason(error: Any) -> str:
    template = _WITHOUT_VALUES.get(error["type"])
    return str(error["msg"]) if template is None else template.format(**error["ctx"])


def _unvalidated(schema: Any) -> type[Any] | None:
    """A table in pydantic's schema whose instances are not validated when they are made."""
    rest = [schema]
    while rest:
        each = rest.pop()
        if isinstance(each, dict):
            model: Any = each.get("cls") if each.get("type") == "model" else None
            is_table = getattr(model, "model_config", {}).get("table")
            if is_table and not getattr(model, "_nitro_validates", False):  # as entities do
                found: type[Any] = model
                return found
            for key, value in each.items():
                if key in _BY_NAME and isinstance(value, dict):
                    rest += value.values()
                elif key not in _OF_NO_TYPES:
                    rest.append(value)
        elif isinstance(each, list | tuple):
            rest += each
    return None


_OF_NO_TYPES: Final = frozenset({"config", "default", "expected", "metadata", "serialization"})
"""What of pydantic's schema holds values, and not what they are."""
_BY_NAME: Final = frozenset({"choices", "fields"})
"""What of it has schemas by names of the application's."""
_ANYTHING: Final = "anything"
_SAYS_WHAT: Final = ("$ref", "allOf", "anyOf", "const", "enum", "oneOf", "type")


def _kinds(adapter: TypeAdapter[Any]) -> tuple[set[str], bool]:
    """The types of JSON Schema that its values and all in them have; `_ANYTHING` if that isn't said of all. And whether
    there may be models in them.
    """
    try:
        schema: Any = adapter.json_schema(mode="serialization")
    except (PydanticUserError, ValueError):
        return {_ANYTHING}, True
    found: set[str] = set()
    rest = [schema, *schema.get("$defs", {}).values()]
    while rest:
        each = rest.pop()
        if not isinstance(each, dict) or not any(key in each for key in _SAYS_WHAT):
            found.add(_ANYTHING)
            continue
        kind = each.get("type", ())
        found.update([kind] if isinstance(kind, str) else kind)
        rest += each.get("properties", {}).values()
        for key in ("allOf", "anyOf", "oneOf", "prefixItems"):
            rest += each.get(key, ())
        for key in ("additionalProperties", "items", "patternProperties"):
            if each.get(key, False) is not False:
                rest += each[key].values() if key == "patternProperties" else [each[key]]
    return found, any("properties" in each for each in schema.get("$defs", {}).values())
