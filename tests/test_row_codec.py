"""How changed rows travel in the log: every process gets them as the database gave them, or reads them itself."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from nitro.delivery.query import QueryUndecided
from nitro.live.model import LiveTable
from nitro.live.row_codec import ChangedRow, decoded, is_same, payloads_of
from nitro.messages.row_changes import PackedRow, RowChanges


class Base(DeclarativeBase):
    pass


class Colour(StrEnum):
    RED = "r"


class Packed(Base):
    __tablename__ = "packed"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(sa.ARRAY(sa.Enum(Colour)))


@dataclass
class Unknown:
    number: int = 1


packed = LiveTable(Packed, "packed")


def sent(before: Any, after: Any) -> RowChanges | None:
    """What tells of a row whose value was `before` and is `after`; None if nothing does."""
    payloads = [*payloads_of("packed", {"id": 0, "value": 1}, [ChangedRow("1", (1, before), (1, after))], 10_000)]
    return RowChanges.parse(payloads[0]) if payloads else None


def looks(value: Any) -> Any:
    """A value with the types of all that is in it."""
    if isinstance(value, dict):
        return {key: looks(each) for key, each in value.items()}
    return [looks(each) for each in value] if isinstance(value, list) else (type(value), value)


@pytest.mark.parametrize(
    "value",
    [
        [date(2026, 1, 2), None, [date(2026, 1, 3)]],
        [datetime(2026, 1, 2, tzinfo=UTC), timedelta(days=1), b"a"],
        [Decimal("1.50")],
        [UUID(int=1)],
        [Colour.RED],
        {"a": [1, 1.5, True, None, "b", {"c": date(2026, 1, 2)}], "e": {"f": Colour.RED}, "json": ["json", 1]},
        ["list", ["date", "2026-01-02"]],
        {"a": [1, {"b": [2.5, None]}]},
        [],
        {},
    ],
    ids=repr,
)
def test_what_lists_and_dicts_have_comes_as_it_was(value: Any) -> None:
    changes = sent([0], value)
    assert changes is not None
    [row] = decoded(changes, packed.enums)
    assert row.after is not None and row.before is not None
    assert looks(row.after["value"]) == looks(value)
    assert row.before["value"] == [0]


@pytest.mark.parametrize(
    "value", [[Unknown()], {"a": {"b": Unknown()}}, {1: date(2026, 1, 2)}, {1: "a"}, [(1, 2)]], ids=repr
)
def test_a_list_with_what_can_not_travel_lets_all_rows_be_read(value: Any) -> None:
    changes = sent([0], value)
    assert changes is not None and changes.rows is None


@pytest.mark.parametrize(
    ("one", "other"),
    [({"done": 0}, {"done": False}), ([1], [1.0]), ({"a": [True]}, {"a": [1]}), ([Decimal("2.5")], [Decimal("2.50")])],
)
def test_values_that_python_calls_equal_and_that_look_otherwise_are_a_change(one: Any, other: Any) -> None:
    changes = sent(one, other)
    assert changes is not None
    [row] = decoded(changes, {})
    assert row.after is not None and row.before is not None
    assert looks(row.before["value"]) == looks(one)
    assert looks(row.after["value"]) == looks(other)
    assert sent(one, one) is None


class Vector:
    """Says as NumPy's arrays do that it isn't known whether two are equal."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]  # as arrays have it


def test_values_that_can_not_be_compared_are_not_the_same() -> None:
    assert not is_same((1, Vector()), (1, Vector()))


def test_a_dict_of_another_class_is_one() -> None:
    changes = sent({}, OrderedDict(a=[1]))
    assert changes is not None
    assert decoded(changes, {})[0].after == {"id": 1, "value": {"a": [1]}}


@pytest.mark.parametrize("written", [["list", 1], ["dict", [1]], ["dict", "a"], ["dict", 1], ["list"]], ids=repr)
def test_what_nobody_packs_is_read_from_the_database(written: Any) -> None:
    with pytest.raises(QueryUndecided):
        decoded(RowChanges("packed", ["value"], [PackedRow("1", None, [written])]), {})
