"""The parts of the inspector, each where it stands: the board, the log's reader, the lists, and foreign reports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import from_json, to_json

import nitro
from nitro import Client, emit
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.inspection.board import Board
from nitro.inspection.rows import Listing
from nitro.inspection.service import _shortened
from nitro.inspection.sight import parse_report
from nitro.inspection.traffic import LogReader, Traffic
from nitro.inspection.view import View, Window
from nitro.inspection.worker import Worker
from nitro.settings import get_settings
from nitro.streams.base import ABSENT, Commit
from nitro.streams.stores.memory import MemoryStore


def test_a_notice_is_replaced_and_one_that_stands_there_already_says_how_old_it_is() -> None:
    async def scenario() -> None:
        store = MemoryStore("memory://", uuid4().hex)
        one, other = Board(store), Board(store)
        await one.open()
        await one.pin("reports", "a", b"1")
        await one.pin("reports", "a", b"2")
        assert (await other.read("reports"))["a"].content == b"2"
        ghost = Commit("inspection/reports/ghost", ABSENT, b"%d\nold" % ((time.time() - 3600) * 1000))
        foreign = Commit("inspection/reports/foreign", ABSENT, b"nothing that tells a time")
        await store.commit([ghost, foreign])
        found = await other.read("reports")
        assert 10 < found["ghost"].age_seconds < 20, "old, but it has a moment to show that it lives"
        assert found["a"].age_seconds < 5
        assert found["foreign"].content == b""
        await other.pin("reports", "b", b"3")
        await other.close()
        assert set(await one.read("reports")) == {"a", "ghost", "foreign"}, "what a process has pinned up goes with it"

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_the_reader_of_a_log_tells_each_message_once_and_counts_what_it_leaves_out(
    hub_with: Callable[..., Hub],
) -> None:
    hub = hub_with(history_messages=100)
    reader, traffic = LogReader(hub), Traffic(hub)
    for n in range(3):
        emit("a", "me", result=n)
    found, left_out = reader.read(10)
    assert ([message.data for message in found], left_out) == ([0, 1, 2], 0)
    assert reader.read(10) == ([], 0)
    for n in range(3_000):
        emit("b", "me", result=n)
    found, left_out = reader.read(1_000)
    assert (len(found), left_out, found[-1].data) == (100, 2_900, 2_999)
    looked = traffic.look()
    assert looked["left_out"] == 2_903
    assert [topic for topic, *_ in looked["top"]] == ["b"]
    assert looked["others"] == {"topics": 0, "messages": 0}


def test_what_was_in_the_log_before_this_process_reached_it_is_not_new(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NITRO_BROKER_URL", f"sqlite:///{tmp_path}/events.db")

    def begin() -> Hub:
        get_settings.cache_clear()
        monkeypatch.setattr(process, "_hub", None)
        return process.get_hub()

    begin()
    for n in range(50):
        emit("a", "me", result=n)
    nitro.flush()
    process.get_hub().close(1)
    reader = LogReader(begin())  # before the log is reached
    process.connect_broker()
    assert reader.read(100) == ([], 0)
    emit("a", "me", result="new")
    nitro.flush()
    assert [message.data for message in reader.read(100)[0]] == ["new"]


@pytest.mark.usefixtures("hub")
def test_a_list_is_put_in_order_anew_when_many_have_gone_and_forgotten_when_nobody_looks() -> None:
    clients = [Client(topics=["a"], user_id=f"u{n:03}").connect() for n in range(100)]
    listing = Listing("w")
    view = View(sort="user", window=Window(0, 5))
    assert [row["user"] for row in listing.see(view).rows] == ["u000", "u001", "u002", "u003", "u004"]
    for client in clients[:95]:
        client.disconnect()
    assert listing.see(view).rows == [], "of those that are gone, nothing is shown"
    deadline = time.monotonic() + 10
    while listing.see(view).matching != 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [row["user"] for row in listing.see(view).rows] == [f"u{n:03}" for n in range(95, 100)]
    listing.forget_others(())
    assert listing._ordered == {}
    for client in clients[95:]:
        client.disconnect()


def test_reports_of_other_versions_are_left_out_and_long_ones_get_fewer_rows(hub: Hub) -> None:
    def connect(n: int) -> Client:
        return Client(topics=[f"{'x' * 200}.{n}.{m}" for m in range(5)], user_id="u" * 400 + str(n)).connect()

    clients = [connect(n) for n in range(200)]
    views = {str(n): View(window=Window(0, 200)) for n in range(5)}
    report = Worker(hub).report(views)
    whole = to_json(report)
    assert parse_report(whole) == from_json(whole)
    assert len(whole) > 500_000
    short: dict[str, Any] = from_json(_shortened(report))
    assert len(to_json(short)) <= 500_000
    assert 0 < len(short["views"]["0"]["rows"]) < 200
    assert short["views"]["0"]["matching"] == 200
    for wrong in (b"", b"[]", b"{", to_json({**report, "counters": {}}), to_json({**report, "log": None})):
        assert parse_report(wrong) is None
    for client in clients:
        client.disconnect()
