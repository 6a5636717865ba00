"""`captured`: what a test of an application sees of what was emitted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, create_engine

from nitro import Client, disconnect_user, emit, emit_async, event, on
from nitro.delivery import process
from nitro.errors import BrokerRefused, InvalidTopic, NitroError
from nitro.events.event import Namespace
from nitro.settings import get_settings
from nitro.testing import captured
from nitro.testing.emitted import Emitted
from tests.brokers import BROKERS

pytestmark = pytest.mark.usefixtures("hub")


def test_what_is_emitted_is_there_in_order_and_nothing_else() -> None:
    emit("todo.before", "me", result=0)
    with captured() as emitted:
        assert emitted == []
        emit("todo.created", "ann", result={"id": 1})
        assert emitted == [Emitted("todo.created", "ann", {"id": 1})]
        asyncio.run(emit_async("todo.renamed", result=[1]))
        Namespace().event("todo.own").emit("me", result=2)
        event("todo.nothing").emit("me", result=None)
    emit("todo.after", "me", result=3)
    assert [each.topic for each in emitted] == ["todo.created", "todo.renamed"]
    assert emitted[1].sender is None
    assert emitted[-1:] == [Emitted("todo.renamed", None, [1])]
    assert len(emitted) == 2
    assert repr(emitted).startswith("[Emitted(topic='todo.created', sender='ann'")


def test_what_a_handler_cancels_was_not_emitted() -> None:
    todo = event("captured.todo")

    @on(todo)
    def refuse(sender: str, result: int) -> bool:
        return result > 1

    try:
        with captured("captured.*") as emitted:
            todo.emit("me", result=1)
            todo.emit("me", result=2)
            emit("other", "me", result=3)
        assert [each.data for each in emitted] == [2]
    finally:
        todo.disconnect(refuse)


def test_what_is_rolled_back_was_not_emitted() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with captured() as emitted:
        for result, commits in ((1, False), (2, True)):
            with Session(engine) as session:
                emit("todo.saved", "me", result=result, session=session)
                assert result not in [each.data for each in emitted]
                (session.commit if commits else session.rollback)()
    engine.dispose()
    assert [each.data for each in emitted] == [2]


def test_clients_that_come_and_go_and_users_that_are_disconnected_are_no_events() -> None:
    with captured() as emitted:
        Client(topics=["a"], user_id="ann").connect()
        disconnect_user("ann")
    assert emitted == []


def test_each_look_is_new_data() -> None:
    with captured() as emitted:
        emit("a", "me", result={"list": []})
        emitted[0].data["list"].append(1)
        assert emitted[0].data == {"list": []}


def test_a_block_that_raises_ends_the_list() -> None:
    with pytest.raises(ZeroDivisionError), captured() as emitted:
        emit("a", "me", result=1)
        raise ZeroDivisionError
    emit("a", "me", result=2)
    assert [each.data for each in emitted] == [1]


def test_a_wrong_pattern_and_more_than_is_retained_are_told() -> None:
    with pytest.raises(InvalidTopic), captured("a b"):
        pass
    with (
        pytest.raises(NitroError, match="NITRO_HISTORY_MESSAGES, NITRO_HISTORY_BYTES or NITRO_HISTORY_SECONDS"),
        captured(),
    ):
        for n in range(20_000):
            emit("a", "me", result=n)


def test_it_works_over_a_shared_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BROKERS["sqlite"](tmp_path) as broker:
        monkeypatch.setenv("NITRO_BROKER_URL", broker.url)
        get_settings.cache_clear()
        monkeypatch.setattr(process, "_hub", None)
        with captured() as emitted:  # the first use of the process
            for n in range(100):
                emit("a", "me", result=n)
            assert [each.data for each in emitted] == list(range(100))
        for n in range(20):
            emit("a", "me", result=f"before {n}")
            with captured() as emitted:
                emit("a", "me", result=n)
            assert [each.data for each in emitted] == [n]

        async def in_a_coroutine() -> None:
            emit("a", "me", result="before")
            with captured() as emitted:
                await emit_async("a", "me", result="inside")
            assert [each.data for each in emitted] == ["inside"]

        asyncio.run(in_a_coroutine())


def test_a_broker_that_is_not_there_is_told_at_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITRO_BROKER_URL", f"sqlite:///{tmp_path / 'nowhere' / 'events.db'}")
    get_settings.cache_clear()
    monkeypatch.setattr(process, "_hub", None)
    with pytest.raises(BrokerRefused), captured():
        pass
    process.get_hub().close(1)
