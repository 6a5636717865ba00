"""Decimal fields over SQLite: every digit is kept, and what is compared and sorted is numbers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Engine, MetaData, Numeric, Table, Text, create_engine, func, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.schema import CreateTable
from sqlmodel import Field, Session, col, select

from nitro.entities.entity import Entity
from nitro.entities.exact_decimal import give_collation
from nitro.errors import InvalidQuery, NitroWarning
from nitro.repository import SQLModelRepository


class DecimalPrice(Entity, table=True):
    amount: Decimal
    tax: Decimal | None = Field(default=None, max_digits=10, decimal_places=2)
    rate: Decimal | None = Field(default=None, sa_column=Column(Numeric(6, 2)))
    weight: float | None = Field(default=None, sa_column=Column(Numeric(asdecimal=False)))
    code: Decimal | None = Field(default=None, unique=True)


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLModelRepository]:
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'prices.db'}")
    repository.init_db()
    monkeypatch.setattr(DecimalPrice, "_repository", repository)
    yield repository
    repository.close()


def priced(**values: Any) -> DecimalPrice:
    """A price from values that are not `Decimal` yet, as in a form or in JSON."""
    return DecimalPrice(**values)


def amounts(found: list[DecimalPrice]) -> list[str]:
    return [str(one.amount) for one in found]


@pytest.mark.parametrize(
    "text",
    [
        "2.50",
        "2.5",
        "0",
        "-0.00",
        "0.1",
        "1E+3",
        "1E-30",
        "-12345678901234567890.1234567890",
        "9" * 60 + ".10",
        "1E+999999",
    ],
)
def test_every_digit_is_kept(text: str) -> None:
    price = priced(amount=text).save()
    loaded = DecimalPrice.get(price.id)
    assert loaded is not None
    assert str(price.amount) == str(loaded.amount) == text
    assert amounts(DecimalPrice.filter(amount=Decimal(text))) == [text]


def test_declared_columns_keep_theirs_too() -> None:
    price = priced(amount=1, tax="2.50", rate="1234567.123", weight=1.5).save()
    loaded = DecimalPrice.get(price.id)
    assert loaded is not None
    assert (str(loaded.tax), str(loaded.rate), loaded.weight) == ("2.50", "1234567.123", 1.5)
    assert type(loaded.weight) is float


@pytest.fixture
def prices() -> list[str]:
    texts = ["10", "9.00", "2.50", "-3", "1E+3", "1E-20", "100000000000000000000.01"]
    for text in texts:
        priced(amount=text).save()
    return sorted(texts, key=Decimal)


def test_sorting_and_ranges_are_of_numbers(prices: list[str]) -> None:
    assert amounts(DecimalPrice.where(order_by="amount")) == prices
    assert amounts(DecimalPrice.where(order_by=col(DecimalPrice.amount).desc())) == prices[::-1]
    assert amounts(DecimalPrice.filter(sorting_field="amount", sort_direction="desc", limit=2)) == prices[:-3:-1]
    between = DecimalPrice.filter(amount=(Decimal("2.500"), 10), sorting_field="amount")
    assert amounts(between) == ["2.50", "9.00", "10"]
    assert amounts(DecimalPrice.where(DecimalPrice.amount > Decimal("100000000000000000000.00"))) == prices[-1:]
    assert amounts(DecimalPrice.where(DecimalPrice.amount < 0)) == ["-3"]
    assert amounts(DecimalPrice.filter(amount=[9, "2.5", 7.25], sorting_field="amount")) == ["2.50", "9.00"]


def test_equal_numbers_are_equal_however_they_are_written() -> None:
    priced(amount=1, code="2.50").save()
    assert DecimalPrice.find_by(code=Decimal("2.5")) == DecimalPrice.find_by(code=2.5) != None  # noqa: E711
    with pytest.raises(IntegrityError):
        priced(amount=1, code="2.500").save()


def test_the_least_and_the_greatest_keep_their_digits(prices: list[str], repository: SQLModelRepository) -> None:
    with Session(repository.engine) as session:
        found = session.exec(select(func.min(DecimalPrice.amount), func.max(DecimalPrice.amount))).one()
        assert [str(each) for each in found] == [prices[0], prices[-1]]
        assert session.exec(select(func.count()).where(DecimalPrice.amount * 2 > 19)).one() == 3


@pytest.mark.parametrize("value", ["x", "NaN", "Infinity", Decimal("sNaN"), float("inf"), object()])
def test_what_is_no_number_is_an_error(value: Any) -> None:
    for ask in (
        lambda: DecimalPrice.filter(amount=value),
        lambda: DecimalPrice.where(DecimalPrice.amount > value),
        lambda: DecimalPrice.model_construct(amount=value, id="1").save(),
    ):
        with pytest.raises(InvalidQuery, match="no decimal number"):
            ask()


numbers = st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(-100, 100, places=1)


@given(st.lists(numbers, max_size=8))
@settings(max_examples=40, deadline=None)
def test_any_numbers_come_back_in_their_order_with_their_digits(given_numbers: list[Decimal]) -> None:
    prices = [DecimalPrice(amount=number) for number in given_numbers]
    for price in prices:
        in_memory.save(price)
    try:
        found = in_memory.where(DecimalPrice, order_by="amount")
        assert [one.amount for one in found] == sorted(given_numbers)
        assert sorted(amounts(found)) == sorted(map(str, given_numbers))
    finally:
        in_memory.delete_where(DecimalPrice, col(DecimalPrice.id) != "")


@pytest.fixture(scope="module", autouse=True)
def in_memory_tables() -> Iterator[None]:
    in_memory.init_db()
    yield
    in_memory.close()


in_memory = SQLModelRepository("sqlite://")


def test_engines_of_ones_own_compare_as_well(prices: list[str], tmp_path: Path) -> None:
    statement = select(col(DecimalPrice.amount)).where(DecimalPrice.amount >= 10).order_by(col(DecimalPrice.amount))
    engine = create_engine(f"sqlite:///{tmp_path / 'prices.db'}")
    with Session(engine) as session:
        assert [str(each) for each in session.exec(statement)] == prices[-3:]
    engine.dispose()

    async def scenario() -> list[str]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'prices.db'}")
        try:
            async with AsyncSession(engine) as session:
                return [str(each) for each in await session.scalars(statement)]
        finally:
            await engine.dispose()

    assert asyncio.run(scenario()) == prices[-3:]


def test_a_program_that_does_not_know_the_order_is_told_so_instead_of_getting_another(
    prices: list[str], tmp_path: Path
) -> None:
    connection = sqlite3.connect(tmp_path / "prices.db")
    assert sorted(row[0] for row in connection.execute("SELECT amount FROM decimalprice")) == sorted(prices)
    with pytest.raises(sqlite3.OperationalError, match="no such collation sequence: nitro_decimal"):
        connection.execute("SELECT amount FROM decimalprice ORDER BY amount").fetchall()
    connection.close()


def test_texts_that_others_wrote_into_a_column_are_sorted_behind_the_numbers(
    prices: list[str], repository: SQLModelRepository
) -> None:
    with repository.engine.begin() as connection:
        for text in ("zero", "NaN", ""):
            connection.exec_driver_sql("INSERT INTO decimalprice (id, amount) VALUES (?, ?)", (text, text))
        found = connection.exec_driver_sql("SELECT amount FROM decimalprice ORDER BY amount").scalars().all()
    assert found == [*prices, "", "NaN", "zero"]


def test_a_table_that_rounds_is_told_of_when_it_is_opened(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as connection:
        give_collation(connection)
        connection.execute(
            "CREATE TABLE decimalprice (id VARCHAR PRIMARY KEY, amount NUMERIC, tax NUMERIC(10, 2), "
            "rate TEXT COLLATE nitro_decimal, weight NUMERIC)"
        )
        connection.execute("INSERT INTO decimalprice (id, amount) VALUES ('1', 2.5)")
    connection.close()
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'old.db'}")
    with pytest.warns(NitroWarning, match=r"15 digits of decimalprice\.amount, decimalprice\.tax and") as caught:
        repository.init_db()
    assert caught[0].filename == __file__
    with repository.engine.connect() as opened:
        statement = select(col(DecimalPrice.amount)).where(DecimalPrice.amount > 2)
        assert [str(each) for each in opened.scalars(statement)] == ["2.5"]
    repository.close()


def test_a_migration_that_makes_a_table_anew_leaves_the_order_of_its_columns(
    prices: list[str], repository: SQLModelRepository
) -> None:
    priced(amount=1, code="2.50").save()
    with repository.engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("decimalprice", recreate="always") as batch:
            batch.add_column(Column("note", Text()))
    repository.init_db()
    assert amounts(DecimalPrice.where(order_by="amount")) == sorted([*prices, "1"], key=Decimal)
    with pytest.raises(IntegrityError):
        priced(amount=1, code="2.500").save()


def test_a_column_is_read_with_its_collation_and_no_other_column_has_it(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'odd.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            """CREATE TABLE "Odd" (id INTEGER, "the ""price" TEXT NOT NULL COLLATE "nitro_decimal", price TEXT,
            t TEXT COLLATE NOCASE, [last one] TEXT COLLATE nitro_decimal, -- with a comment
            "close"TEXT COLLATE nitro_decimal, 'text' TEXT DEFAULT '1,5' COLLATE [nitro_decimal],
            checked TEXT CHECK (price COLLATE nitro_decimal > '0'), CHECK (price <> 'x'))"""
        )
        connection.exec_driver_sql("ALTER TABLE Odd ADD COLUMN later text collate nitro_decimal")
        binds: list[Engine | Connection] = [connection, engine]
        for bind in binds:
            read = Table("odd", MetaData(), autoload_with=bind)
            found = [each.name for each in read.columns if getattr(each.type, "collation", None) == "nitro_decimal"]
            assert found == ['the "price', "last one", "close", "text", "later"]
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.create_collation("own", lambda one, other: (one > other) - (one < other))
        connection.exec_driver_sql("CREATE TABLE unknown (price TEXT COLLATE nitro_decimal, note TEXT COLLATE own)")
        for collation in ("nitro_decimal", "own"):
            raw.create_collation(collation, None)  # as of a connection that was opened before any class had decimals
        read = Table("unknown", MetaData(), autoload_with=connection)
        assert [getattr(each.type, "collation", None) for each in read.columns] == ["nitro_decimal", None]
    engine.dispose()


def test_a_table_that_has_lost_the_order_is_told_of_until_a_migration_gives_it_back(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "lost.db") as raw:
        give_collation(raw)
        raw.execute(
            "CREATE TABLE decimalprice (id VARCHAR PRIMARY KEY, amount TEXT NOT NULL, tax TEXT COLLATE nitro_decimal, "
            "rate TEXT, weight NUMERIC, code TEXT COLLATE nitro_decimal)"
        )
    raw.close()
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'lost.db'}")
    with pytest.warns(NitroWarning) as caught:
        repository.init_db()
    assert [str(each.message).partition(", so that")[0] for each in caught] == [
        "SQLite compares decimalprice.amount, decimalprice.rate as text"
    ]
    assert caught[0].filename == __file__
    with repository.engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("decimalprice") as batch:
            for column in ("amount", "rate"):
                batch.alter_column(column, type_=Text(collation="nitro_decimal"))
    repository.init_db()
    repository.close()


def test_other_databases_have_their_own_numbers() -> None:
    table = Entity.metadata.tables["decimalprice"]
    ddl = str(CreateTable(table).compile(dialect=make_url("postgresql://").get_dialect()()))
    assert "amount NUMERIC NOT NULL" in ddl
    assert "tax NUMERIC(10, 2)" in ddl
    assert "nitro_decimal" not in ddl
