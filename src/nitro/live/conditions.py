"""Conditions on a row, as data: what a live query's WHERE says, compiled to functions that test a row in Python.

`filtering` makes them from SQLAlchemy's expressions. A condition holds only if SQL would say *true*: neither false nor
NULL. There is no NOT among them: `filtering` moves it down to the comparisons, where it is another comparison, and so
AND and OR need only know what is true. They are canonical: conditions that say the same in another order are equal.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, Final, Literal

__all__ = [
    "All",
    "Always",
    "Among",
    "Attribute",
    "Bound",
    "Condition",
    "IsNull",
    "Pair",
    "Reading",
    "Some",
    "Test",
    "all_of",
    "compiled",
    "instant",
    "looked_at",
    "some_of",
]

Row = Mapping[str, Any]
"""The values of a row by their attributes, as SQLAlchemy reads them."""
Test = Callable[[Row], bool]
Comparison = Literal["==", "!=", "<", "<=", ">", ">="]

_COMPARE: Final[dict[Comparison, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Reading(Enum):
    """How Python has to read values to compare them as a database does."""

    PLAIN = "as they are"
    NUMBER = "NaN equals itself and is greater than all else, as PostgreSQL has it"
    INSTANT = "by the moment they name, in whatever time zone"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of the row, and how it is read."""

    name: str
    reading: Reading = Reading.PLAIN


@dataclass(frozen=True, slots=True)
class Always:
    """TRUE, or what is never true: FALSE and NULL."""

    holds: bool


@dataclass(frozen=True, slots=True)
class IsNull:
    """IS NULL, or if it is not `wanted`, IS NOT NULL."""

    name: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class Among:
    """The attribute is one of these values, or if it is not `wanted`, none of them; NULL is neither."""

    attribute: Attribute
    values: frozenset[Any]
    wanted: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """The attribute is less or greater than a value."""

    attribute: Attribute
    comparison: Comparison
    value: Any


@dataclass(frozen=True, slots=True)
class Pair:
    """An attribute compared with another; they are read in the same way."""

    left: Attribute
    comparison: Comparison
    right: Attribute


@dataclass(frozen=True, slots=True)
class All:
    """AND of two or more."""

    conditions: frozenset[Condition]


@dataclass(frozen=True, slots=True)
class Some:
    """OR of two or more."""

    conditions: frozenset[Condition]


Condition = Always | IsNull | Among | Bound | Pair | All | Some


def all_of(conditions: Iterable[Condition]) -> Condition:
    """AND; true if there are none."""
    return _joined(conditions, All, neutral=Always(True), deciding=Always(False))


def some_of(conditions: Iterable[Condition]) -> Condition:
    """OR; false if there are none."""
    return _joined(conditions, Some, neutral=Always(False), deciding=Always(True))


def looked_at(condition: Condition) -> frozenset[str]:
    """The names of the attributes that a condition looks at."""
    match condition:
        case Always():
            return frozenset()
        case IsNull(name):
            return frozenset({name})
        case Among(attribute) | Bound(attribute):
            return frozenset({attribute.name})
        case Pair(left, _, right):
            return frozenset({left.name, right.name})
        case All(conditions) | Some(conditions):
            return frozenset[str]().union(*map(looked_at, conditions))


def compiled(condition: Condition) -> Test:
    """The function that says whether a condition holds for a row."""
    match condition:
        case Always(holds):
            return lambda _: holds
        case IsNull(name, wanted):
            return (lambda row: row[name] is None) if wanted else (lambda row: row[name] is not None)
        case Among():
            return _among(condition)
        case Bound():
            return _bound(condition)
        case Pair():
            return _pair(condition)
        case All(conditions):
            return _all([compiled(each) for each in conditions])
        case Some(conditions):
            return _some([compiled(each) for each in conditions])


def instant(value: datetime) -> timedelta:
    """The moment that an aware datetime names.

    By subtraction, since Python compares times of one zone by the clock on the wall, and says of times that exist twice
    that they equal nothing in another zone; and a conversion to UTC may leave the years that Python has.
    """
    return value - _EPOCH


def _number(value: Any) -> tuple[bool, Any]:
    return (True, 0) if value != value else (False, value)


_KEYS: Final[dict[Reading, Callable[[Any], Any] | None]] = {
    Reading.PLAIN: None,
    Reading.NUMBER: _number,
    Reading.INSTANT: instant,
}


def _joined(conditions: Iterable[Condition], kind: type[All | Some], *, neutral: Always, deciding: Always) -> Condition:
    parts = [each.conditions if isinstance(each, kind) else {each} for each in conditions]
    joined = frozenset[Condition]().union(*parts) - {neutral}
    if deciding in joined:
        return deciding
    return kind(joined) if len(joined) > 1 else next(iter(joined), neutral)


def _among(condition: Among) -> Test:
    name, values = condition.attribute.name, condition.values
    if condition.attribute.reading is Reading.INSTANT:
        wanted = condition.wanted
        return lambda row: (value := row[name]) is not None and (instant(value) in values) is wanted
    if not condition.wanted:
        return lambda row: (value := row[name]) is not None and value not in values
    if len(values) == 1:
        only = next(iter(values))
        return lambda row: bool(row[name] == only)
    return lambda row: row[name] in values


def _bound(condition: Bound) -> Test:
    name, bound = condition.attribute.name, condition.value
    compare, key = _COMPARE[condition.comparison], _KEYS[condition.attribute.reading]
    if key is None:
        return lambda row: (value := row[name]) is not None and compare(value, bound)
    if condition.attribute.reading is Reading.NUMBER:
        bound = _number(bound)
    return lambda row: (value := row[name]) is not None and compare(key(value), bound)


def _pair(condition: Pair) -> Test:
    key = _KEYS[condition.left.reading]
    return partial(
        _compares,
        condition.left.name,
        condition.right.name,
        _COMPARE[condition.comparison],
        key or (lambda value: value),
    )


def _compares(left: str, right: str, compare: Callable[[Any, Any], bool], key: Callable[[Any], Any], row: Row) -> bool:
    one, other = row[left], row[right]
    return one is not None and other is not None and compare(key(one), key(other))


def _all(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    one, other = _halved(tests, _all)
    return lambda row: one(row) and other(row)


def _some(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    one, other = _halved(tests, _some)
    return lambda row: one(row) or other(row)


def _halved(tests: list[Test], join: Callable[[list[Test]], Test]) -> tuple[Test, Test]:
    """Two tests of half of them each, so that many of them are called without a loop, and few deep."""
    half = len(tests) // 2
    return join(tests[:half]), join(tests[half:])
