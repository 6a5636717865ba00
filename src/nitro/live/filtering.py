"""`filter_of`: translates a WHERE over a live class to a `Filter`, which says of a row what the database says of it.

A live query reads its rows from the database once, and then asks the filter about each row that changes. Both have to
agree, so what can't be known to mean the same in both is refused when the query is declared: by what an expression is
(here), and by what its columns and constants are (`column_kinds`). NOT is moved down to the comparisons meanwhile,
where SQL's third truth value, NULL, is not true as it stands and not true negated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, cast

from sqlalchemy import BindParameter, BooleanClauseList, Column, False_, Null, True_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import operators as sql
from sqlalchemy.sql.elements import (
    BinaryExpression,
    ClauseElement,
    ClauseList,
    ExpressionClauseList,
    Grouping,
    UnaryExpression,
)
from sqlalchemy.types import Boolean, NullType, TypeEngine

from nitro.errors import InvalidQuery
from nitro.live.column_kinds import ColumnKind, check_null, kind_of, kind_of_column
from nitro.live.conditions import (
    All,
    Always,
    Among,
    Attribute,
    Bound,
    Comparison,
    Condition,
    IsNull,
    Pair,
    Reading,
    Test,
    all_of,
    compiled,
    looked_at,
    some_of,
)
from nitro.live.model import LiveTable

__all__ = ["Filter", "filter_of"]

_COMPARISONS: Final[dict[Any, Comparison]] = {
    sql.eq: "==",
    sql.ne: "!=",
    sql.lt: "<",
    sql.le: "<=",
    sql.gt: ">",
    sql.ge: ">=",
}
_NEGATED: Final[dict[Comparison, Comparison]] = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_MIRRORED: Final[dict[Comparison, Comparison]] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a WHERE says of the rows of a class; equal to another that says the same.

    Attributes:
        model: the class.
        condition: what it says.
        equalities: of attributes that have to equal something, the values of which a row that is selected has one; no
            row is selected if there is no value. Times with a time zone are not among them, since equal ones of them
            are not always equal in Python.
        names: the attributes that it looks at.
    """

    model: type[Any]
    condition: Condition
    equalities: Mapping[str, frozenset[Any]] = field(init=False, compare=False, repr=False)
    names: frozenset[str] = field(init=False, compare=False, repr=False)
    _test: Test = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "equalities", MappingProxyType(_equalities(self.condition)))
        object.__setattr__(self, "names", looked_at(self.condition))
        object.__setattr__(self, "_test", compiled(self.condition))

    def selects(self, row: Mapping[str, Any]) -> bool:
        """Whether the WHERE is true of a row: its values, as SQLAlchemy reads them, by their attributes."""
        return self._test(row)


def filter_of(model: LiveTable, where: Sequence[Any], dialect: str) -> Filter:
    """The filter that selects the rows for which all conditions of `where` are true; all rows if it is empty.

    Args:
        model: the class whose columns they compare.
        where: SQLAlchemy's expressions.
        dialect: the name of the database's, such as `sqlite` or `postgresql`.

    Raises:
        InvalidQuery: Python and the database may say otherwise of some row.
    """
    translation = _Translation(model, dialect)
    return Filter(model.model, all_of([translation.condition(_expression(each), True) for each in where]))


@dataclass(frozen=True, slots=True)
class _Operand:
    """A column of the class, its type in SQL, and how messages call it."""

    label: str
    attribute: Attribute
    kind: ColumnKind
    type: TypeEngine[Any]


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant, and its type in SQL."""

    value: Any
    type: TypeEngine[Any]


class _Translation:
    """Translates expressions over a class, for a database."""

    def __init__(self, model: LiveTable, dialect: str) -> None:
        self._model = model
        self._dialect = dialect
        self._name = model.model.__name__
        columns = model.mapper.columns.items()
        # By hash, which a column keeps in whatever it is annotated with; their == makes an expression of SQL.
        self._attributes = {hash(column): name for name, column in columns if name in model.names}

    def condition(self, piece: Any, wanted: bool) -> Condition:
        """What `piece` says, or if it is not `wanted`, what NOT `piece` says."""
        piece = _within(piece)
        match piece:
            case True_() | False_():
                return Always(isinstance(piece, True_) is wanted)
            case BooleanClauseList() if piece.clauses and piece.operator in (sql.and_, sql.or_):
                parts = [self.condition(each, wanted) for each in piece.clauses]
                return all_of(parts) if (piece.operator is sql.and_) is wanted else some_of(parts)
            case UnaryExpression(modifier=None) if piece.operator in (sql.inv, sql.is_true, sql.is_false):
                return self.condition(piece.element, wanted is (piece.operator is sql.is_true))
            case BinaryExpression():
                return self._binary(piece, wanted)  # pyright: ignore[reportUnknownArgumentType]
            case Column():
                return self._bare(piece, wanted)  # pyright: ignore[reportUnknownArgumentType]
            case _:
                raise self._unknown(piece)

    def _bare(self, piece: Column[Any], wanted: bool) -> Condition:
        operand = self._operand(piece)
        if operand.kind.sort != "boolean":
            raise InvalidQuery(f"{operand.label} is no boolean, and so no condition: compare it with something")
        return Among(operand.attribute, frozenset({wanted}), True)

    def _binary(self, piece: BinaryExpression[Any], wanted: bool) -> Condition:
        kind: Any = piece.operator
        if kind in _COMPARISONS:
            comparison = _COMPARISONS[kind]
            return self._compared(piece, piece.left, comparison if wanted else _NEGATED[comparison], piece.right)
        if kind in (sql.between_op, sql.not_between_op):
            return self._between(piece, wanted is (kind is sql.between_op))
        if kind in (sql.in_op, sql.not_in_op):
            return self._in(piece, wanted is (kind is sql.in_op))
        if kind in (sql.is_, sql.is_not):
            return self._is(piece, wanted is (kind is sql.is_))
        raise self._unknown(piece)

    def _between(self, piece: BinaryExpression[Any], wanted: bool) -> Condition:
        ends = piece.right
        if piece.modifiers.get("symmetric") or not isinstance(ends, ExpressionClauseList):
            raise self._unknown(piece)
        low, high = ends.clauses
        parts = [
            self._compared(piece, piece.left, ">=" if wanted else "<", low),
            self._compared(piece, piece.left, "<=" if wanted else ">", high),
        ]
        return all_of(parts) if wanted else some_of(parts)

    def _compared(self, piece: ClauseElement, left: Any, comparison: Comparison, right: Any) -> Condition:
        one, other = self._side(left), self._side(right)
        if isinstance(one, _Constant):
            one, other, comparison = other, one, _MIRRORED[comparison]
        if isinstance(one, _Constant):
            raise InvalidQuery(f"{_shown(piece)} compares no column of {self._name}: say true() or false() instead")
        if comparison not in ("==", "!=") and one.kind.unordered is not None:
            raise InvalidQuery(f"{one.label} is asked whether it is {comparison} something: {one.kind.unordered}")
        if isinstance(other, _Operand):
            return self._pair(one, comparison, other)
        values = self._values(one, [other])
        if comparison in ("==", "!="):
            return _among(one, values, comparison == "==") if values else Always(False)
        return Bound(one.attribute, comparison, *values) if values else Always(False)

    def _pair(self, one: _Operand, comparison: Comparison, other: _Operand) -> Condition:
        if one.kind.sort != other.kind.sort:
            raise InvalidQuery(
                f"{one.label} is compared with {other.label}, which is of another kind: in a live query, both have to "
                f"be of the same"
            )
        left, right = one.attribute, other.attribute
        if comparison in (">", ">=") or (comparison in ("==", "!=") and left.name > right.name):
            left, right, comparison = right, left, _MIRRORED[comparison]
        return Pair(left, comparison, right)

    def _in(self, piece: BinaryExpression[Any], wanted: bool) -> Condition:
        operand = self._side(piece.left)
        constants = self._listed(piece.right)
        if isinstance(operand, _Constant) or constants is None:
            raise InvalidQuery(
                f"{_shown(piece)}: in a live query, in_() and not_in() compare a column of {self._name} with a list of "
                f"constants; with another column say or_(… == …, …)"
            )
        values = self._values(operand, constants)
        if wanted:
            return _among(operand, values, True)
        if any(each.value is None for each in constants):
            return Always(False)  # NOT IN (…, NULL) is false or NULL
        return _among(operand, values, False) if values else Always(True)

    def _listed(self, right: Any) -> list[_Constant] | None:
        """The constants of an IN; None if it has something else."""
        right = _within(right)
        if isinstance(right, ClauseList):
            sides = [self._side(each) for each in right.clauses]
            constants = [each for each in sides if isinstance(each, _Constant)]
            return constants if len(constants) == len(sides) else None
        if not isinstance(right, BindParameter) or not right.expanding:
            return None
        bound = self._bound(right)  # pyright: ignore[reportUnknownArgumentType]
        return [_Constant(each, bound.type) for each in bound.value]

    def _is(self, piece: BinaryExpression[Any], wanted: bool) -> Condition:
        left = _within(piece.left)
        if not isinstance(left, Column):
            raise self._unknown(piece)
        if isinstance(piece.right, Null):
            return self._is_null(left, wanted)
        operand = self._operand(left)
        if not isinstance(piece.right, True_ | False_) or operand.kind.sort != "boolean":
            raise InvalidQuery(f"{_shown(piece)}: is_() and is_not() take None, and of a boolean column True and False")
        value = isinstance(piece.right, True_)
        if wanted:
            return _among(operand, frozenset({value}), True)
        return some_of([_among(operand, frozenset({value}), False), IsNull(operand.attribute.name, True)])

    def _is_null(self, piece: Column[Any], wanted: bool) -> Condition:
        name, label = self._named(piece)
        check_null(self._model.mapper.columns[name].type, self._dialect, label)
        return IsNull(name, wanted)

    def _side(self, piece: Any) -> _Operand | _Constant:
        piece = _within(piece)
        match piece:
            case Null():
                return _Constant(None, NullType())
            case True_() | False_():
                return _Constant(isinstance(piece, True_), Boolean())
            case BindParameter():
                return self._bound(piece)  # pyright: ignore[reportUnknownArgumentType]
            case Column():
                return self._operand(piece)  # pyright: ignore[reportUnknownArgumentType]
            case _:
                raise self._unknown(piece)

    def _bound(self, piece: BindParameter[Any]) -> _Constant:
        if piece.callable is not None:
            raise InvalidQuery(
                f"{_shown(piece)} gets its value when the statement runs, as of an object in a relationship: "
                f"compare columns of {self._name} with constants"
            )
        if not piece.unique or piece.required or piece.literal_execute:
            raise InvalidQuery(
                f"{_shown(piece)} is a parameter with a name, which each execution may give another value: write the "
                f"value itself"
            )
        return _Constant(piece.value, piece.type)

    def _operand(self, piece: Column[Any]) -> _Operand:
        name, label = self._named(piece)
        column = self._model.mapper.columns[name]
        kind = kind_of_column(column, self._dialect, label)
        return _Operand(label, Attribute(name, kind.reading), kind, column.type)

    def _named(self, piece: Column[Any]) -> tuple[str, str]:
        """The attribute of a column, and how messages call it."""
        name = self._attributes.get(hash(piece))
        if name is None:
            raise InvalidQuery(
                f"{_shown(piece)} is no column of {self._name}'s table, which a live query looks at alone"
            )
        label = f"{self._name}.{name}"
        if _is_hidden(self._model, name):
            raise InvalidQuery(
                f"{label} is excluded from what is sent, so nobody sees in a change what it is: a live query can only "
                f"compare attributes that clients get"
            )
        return name, label

    def _values(self, operand: _Operand, constants: Sequence[_Constant]) -> frozenset[Any]:
        """What a column is compared with, without NULL."""
        return frozenset([self._value(operand, each) for each in constants if each.value is not None])

    def _value(self, operand: _Operand, constant: _Constant) -> Any:
        value = operand.kind.constant(constant.value, operand.label)
        if constant.type is operand.type:
            return value
        kind_name = type(constant.type).__name__  # to which a driver may convert it
        label = f"{operand.label}, given a constant as {kind_name},"
        kind = kind_of(constant.type, self._dialect, label)
        if kind.sort != operand.kind.sort and (type(constant.value), kind.sort) != (int, "integer"):
            raise InvalidQuery(
                f"{label} is compared with another type than its own: write {constant.value!r:.80} without literal(), "
                f"and in a list constants of one type"
            )
        kind.constant(constant.value, label)
        return value

    def _unknown(self, piece: object) -> InvalidQuery:
        return InvalidQuery(
            f"{_shown(piece)} can't be known to mean the same in Python and in the database: a live query may say ==, "
            f"!=, <, <=, >, >=, in_(), not_in(), is_(), is_not(), between(), and_(), or_(), not_(), true() and false() "
            f"of columns of {self._name} and constants"
        )


def _expression(given: Any) -> ClauseElement:
    piece = given.__clause_element__() if hasattr(given, "__clause_element__") else given
    if not isinstance(piece, ClauseElement):
        raise InvalidQuery(
            f"{given!r:.80} is no expression of SQLAlchemy: Python itself decides what `is`, `in`, `and`, `or` and "
            f"`not` say; write `== None` or `.is_(None)`, `.in_(…)`, `and_(…)`, `or_(…)`, `not_(…)` or `~`"
        )
    return piece


def _within(piece: Any) -> Any:
    """What is in parentheses."""
    while isinstance(piece, Grouping):
        piece = cast("Any", piece).element
    return piece


def _is_hidden(model: LiveTable, name: str) -> bool:
    declared = getattr(model.model, "model_fields", {}).get(name)
    is_excluded = declared is not None and (declared.exclude or getattr(declared, "exclude_if", None))
    return bool(is_excluded) or name in model._exclude  # pyright: ignore[reportPrivateUsage]


def _among(operand: _Operand, values: frozenset[Any], wanted: bool) -> Among:
    if operand.kind.sort == "boolean" and not wanted:
        return Among(operand.attribute, frozenset({True, False}) - values, True)
    return Among(operand.attribute, values, wanted)


def _equalities(condition: Condition) -> dict[str, frozenset[Any]]:
    found: dict[str, frozenset[Any]] = {}
    for each in condition.conditions if isinstance(condition, All) else (condition,):
        match each:
            case Among(Attribute(name, reading), values, True) if reading is not Reading.INSTANT:
                found[name] = found.get(name, values) & values
            case _:
                pass
    return found


def _shown(piece: object) -> str:
    try:
        return " ".join(f"{piece!s:.80}".split()) or type(piece).__name__
    except SQLAlchemyError:  # it can't be said in standard SQL
        return type(piece).__name__
