"""What `Entity` promises, over PostgreSQL: the tests of `test_entity.py` once more, in another database."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlmodel import SQLModel

from nitro.settings import get_settings
from tests.brokers import BROKERS
from tests.test_entity import *  # noqa: F403 - its tests, whatever they are
from tests.test_entity import EntityShop, EntityTask


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BROKERS["postgresql"](tmp_path_factory.mktemp("postgresql")) as broker:
        yield broker.url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(autouse=True, name="database")
def on_postgresql(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NITRO_DB_URL", server)
    get_settings.cache_clear()
    EntityTask._repository.init_db()
    yield tmp_path
    SQLModel.metadata.drop_all(EntityTask._repository.engine)
    EntityTask._repository.close()
    get_settings.cache_clear()


def test_a_save_beside_another_save_and_delete_of_the_same_id_succeeds() -> None:
    """What `save` finds is another writer's row, equal to its own, which is gone before it is read again."""
    engine = EntityTask._repository.engine
    writes = iter([None, "INSERT INTO entitytask VALUES ('a', 'b', false)", "DELETE FROM entitytask"])

    def other_writer(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT entitytask"):
            write = next(writes, None)
            if write is not None:
                with psycopg.connect(engine.url.render_as_string(False).replace("+psycopg", "")) as other:
                    other.execute(write)

    event.listen(engine, "before_cursor_execute", other_writer)
    try:
        EntityTask(id="a", title="b").save()
    finally:
        event.remove(engine, "before_cursor_execute", other_writer)
    assert next(writes, "both are done") == "both are done"
    assert EntityTask.get("a") == EntityTask(id="a", title="b")


def test_a_decimal_is_read_as_it_was_written() -> None:
    made = EntityShop(name="shop", price=Decimal("12.50")).save()
    assert made.price == Decimal("12.50")
    found = EntityShop.get(made.id)
    assert found is not None and found.price == Decimal("12.50")
    assert [shop.price for shop in EntityShop.where(EntityShop.price > 12)] == [Decimal("12.50")]
