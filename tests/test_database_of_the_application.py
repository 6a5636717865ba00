"""The log in the application's database: tables that an administrator makes, migrations that leave them alone."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.orm import Session

import nitro
from nitro.alembic import TABLES, include_name
from nitro.brokers.base import Log
from nitro.delivery.hub import Hub
from nitro.errors import BrokerRefused
from nitro.testing.conformance import RETENTION, eventually
from tests.brokers import BROKERS, Broker
from tests.cast import check_streams_get_across, ends_on, wait_until_open
from tests.documents import ROOT, Document
from tests.services import PostgresServer, other_postgres_programs

RUNS_BLOCKS = {"docs/how-to/scaling.md": ["sql", "Alembic: python"]}


def documented(language: str, heading: str) -> list[str]:
    """The blocks of code in that section of the documentation."""
    return [block.source for block in Document("docs/how-to/scaling.md").all(language, heading)]


@pytest.fixture(scope="module", params=[None, *other_postgres_programs()], ids=lambda path: str(path or "wheel"))
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "server", request.param) as server:
        server.run(
            "CREATE ROLE administrator LOGIN CREATEDB",
            "CREATE ROLE application LOGIN",
            "CREATE ROLE stranger LOGIN",
            "CREATE DATABASE shop OWNER administrator",
        )
        with closing(psycopg.connect(f"{url_of(server, 'postgres')}", autocommit=True)) as connection:
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as it is by itself from 15 on
            connection.execute("GRANT CREATE ON SCHEMA public TO administrator")
        yield server


def url_of(server: PostgresServer, role: str) -> str:
    return f"postgresql://{role}@127.0.0.1:{server.port}/shop"


def test_the_documented_sql_run_by_an_administrator_is_all_that_the_application_needs(
    postgres: PostgresServer, hub_with: Callable[..., Hub]
) -> None:
    url = url_of(postgres, "application")
    with (
        ends_on(url, 1, "app") as (end,),
        pytest.raises(BrokerRefused, match=r"by the SQL in https://nitro-realtime.github.io/nitro/how-to/scaling/"),
    ):
        end.broker.refusal.result(20)
    statements = documented("sql", "Tables that an administrator makes")
    with closing(psycopg.connect(url_of(postgres, "administrator"), autocommit=True)) as connection:
        for statement in statements:
            connection.execute(statement)
    with ends_on(url, 2, "app") as (one, other):
        wait_until_open(one, other)
        before = one.broker.head.epoch
        one.publish(b"1")
        one.flush()
        eventually(lambda: other.heard.payloads == [b"1"], "it is read")
        asyncio.run(begin_anew(Broker(Path()).log("app", RETENTION, url=url)))
        one.publish(b"2")
        one.flush()
        eventually(lambda: other.heard.payloads == [b"1", b"2"], "it is read in the new epoch")
        assert other.broker.head.epoch != before
    check_streams_get_across(url, "app")
    hub_with(broker_url=url, namespace="app")
    nitro.connect_broker()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with ends_on(url, 1, "app") as (end,):
        wait_until_open(end)
        with Session(engine) as session:
            nitro.emit("todo.created", result=3, session=session)
            session.commit()
        eventually(lambda: end.heard.payloads == [b"3"], "what was committed is read")
    engine.dispose()


def test_a_role_without_these_rights_neither_reads_nor_emits(postgres: PostgresServer) -> None:
    tables, _, streams, _ = documented("sql", "Tables that an administrator makes")
    with closing(psycopg.connect(url_of(postgres, "administrator"), autocommit=True)) as connection:
        connection.execute(tables)
        connection.execute(streams)
    with closing(psycopg.connect(url_of(postgres, "stranger"), autocommit=True)) as connection:
        for statement in (
            "SELECT body FROM nitro_messages",
            "INSERT INTO nitro_outbox (namespace, body) VALUES ('app', 'x')",
            "SELECT nitro_append('app', 'epoch', 'me', 1, ARRAY['x'::bytea], 10)",
            "DELETE FROM nitro_logs",
            "SELECT body FROM nitro_stream_records",
            "DELETE FROM nitro_streams",
            "CREATE FUNCTION nitro_append(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


async def begin_anew(log: Log) -> None:
    await log.open()
    await log.renew()
    await log.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Broker, Engine]]:
    with BROKERS[request.param](tmp_path / "broker") as broker:
        engine = create_engine(broker.url.replace("postgresql://", "postgresql+psycopg://"))
        yield broker, engine
        engine.dispose()


MODELS = """
from decimal import Decimal

from nitro import Entity
from sqlmodel import Field, SQLModel

class Thing(SQLModel, table=True):
    id: int = Field(primary_key=True)
    nitro_glycerine: str = ""

class Rocket(SQLModel, table=True):
    __tablename__ = "nitro_rockets"
    id: int = Field(primary_key=True)

class Invoice(Entity, table=True):
    total: Decimal
    rate: Decimal | None = Field(default=None, max_digits=10, decimal_places=4)

target_metadata = SQLModel.metadata
"""


def test_a_migration_that_alembic_writes_has_the_entities_columns_and_leaves_the_logs_tables_alone(
    engine: tuple[Broker, Engine], tmp_path: Path
) -> None:
    broker, database = engine
    with ends_on(broker.url, 1) as (end,):
        wait_until_open(end)
    project = tmp_path / "project"
    project.mkdir()
    alembic(project, "init", "migrations")
    (project / "alembic.ini").write_text(
        re.sub("(?m)^sqlalchemy.url = .*$", f"sqlalchemy.url = {database.url}", (project / "alembic.ini").read_text())
    )
    environment = project / "migrations/env.py"
    (documented_lines,) = documented("python", "Alembic")
    imported, call = documented_lines.strip().split("\n\n")
    script = environment.read_text().replace("target_metadata = None\n", f"{MODELS}\n{imported}\n")
    script, places = re.subn(
        r"context\.configure\(\s*connection=connection, target_metadata=target_metadata\s*\)", call, script
    )
    assert places == 1
    environment.write_text(script)
    alembic(project, "revision", "--autogenerate", "-m", "first")
    (written,) = (project / "migrations/versions").glob("*.py")
    assert "'nitro_rockets'" in written.read_text(), "tables of the application are seen, whatever their name"
    assert not [table for table in TABLES if table in written.read_text()], written.read_text()
    alembic(project, "upgrade", "head")
    assert {"thing", "nitro_rockets", "nitro_logs", "nitro_messages"} <= set(inspect(database).get_table_names())
    assert "import nitro" not in written.read_text(), "a migration goes on as it is"
    with database.connect() as connection:
        if database.dialect.name == "sqlite":
            made = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'invoice'"))
            columns = made.replace('"', "")  # an older SQLAlchemy quotes the name
            assert columns.count("TEXT COLLATE nitro_decimal") == 2, "they keep every digit"
        else:
            types = {each["name"]: str(each["type"]) for each in inspect(connection).get_columns("invoice")}
            assert (types["total"], types["rate"]) == ("NUMERIC", "NUMERIC(10, 4)")
        assert connection.scalar(text("SELECT count(*) FROM nitro_logs")) == 1
    alembic(project, "check")


def alembic(directory: Path, *arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_filter_knows_the_tables_of_the_log_and_nothing_else() -> None:
    inside = {"schema_name": None, "table_name": "nitro_logs", "schema_qualified_table_name": "nitro_logs"}
    assert [include_name(name, "table", {"schema_name": None}) for name in TABLES] == [False] * len(TABLES)
    assert not include_name("an_index", "index", inside)
    assert include_name("nitro_rockets", "table", {"schema_name": None})
    assert include_name("nitro_logs", "column", {**inside, "table_name": "things"})
    assert include_name(None, "schema", {})
