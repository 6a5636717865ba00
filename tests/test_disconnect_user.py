"""A dismissal holds for all rights that are older, in processes that couldn't hear of it, too."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import nitro
from nitro import Client, Grant, disconnect_user
from nitro.access import admission
from nitro.access.admission import REMEMBERED_SECONDS, Admission
from nitro.delivery.hub import Hub
from nitro.errors import NotAuthenticated
from nitro.messages.user_disconnect import USER_DISCONNECT, UserDisconnect
from nitro.settings import get_settings
from tests.brokers import BROKERS
from tests.servers import Server
from tests.specification.hearing import run, until
from tests.sse import Stream

BOTH_WAYS = True


def test_rights_that_are_older_than_what_is_remembered_open_nothing_and_are_told_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def client_whose_rights_are_of(age: float, user_id: str | None) -> Client:
        return Client(topics=["t"], grant=Grant(["t"], user_id=user_id, read_at=time.monotonic() - age))

    monkeypatch.setattr(admission, "_STARTED", time.monotonic() - 2 * REMEMBERED_SECONDS)
    monkeypatch.setattr(hub.admission, "_floor", admission._STARTED)
    with client_whose_rights_are_of(REMEMBERED_SECONDS - 60, "7") as young:
        assert young.is_connected
    client = client_whose_rights_are_of(REMEMBERED_SECONDS + 60, "7")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(NotAuthenticated, match="older than an order"):
                client.connect()
    assert [record.getMessage()[:50] for record in caplog.records] == [
        "rejected a client of the user '7': its rights were"
    ]
    with client_whose_rights_are_of(REMEMBERED_SECONDS + 60, None) as nobodys:
        assert nobodys.is_connected, "nobody can dismiss who has no user"


def test_many_dismissals_later_one_of_an_hour_ago_still_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.monotonic
    passed = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    each = Admission(get_settings())
    rights = time.monotonic()
    each.disconnect_user("7")
    for passed[0] in (0.0, REMEMBERED_SECONDS - 1.0, REMEMBERED_SECONDS + 10.0):
        each.disconnect_user("8")
        assert each.was_disconnected("7", rights)
    assert not each.was_disconnected("7", time.monotonic())


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_after_a_gap_rights_from_before_open_nothing(kind: str, tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    with BROKERS[kind](tmp_path) as broker:
        hub = hub_with(broker_url=broker.url, namespace="gap")
        nitro.connect_broker()
        before = time.monotonic()
        assert not hub.admission.was_disconnected("7", before)

        async def scenario() -> None:
            await nitro.emit_async("t", result=1)
            with Client(topics=["t"]) as client:
                outbox = client.open_outbox()
                broker.wipe("gap")
                await until(lambda: not outbox.is_empty, 20)

        run(scenario)
        assert hub.admission.was_disconnected("7", before)
        assert not hub.admission.was_disconnected(None, before)
        assert not hub.admission.was_disconnected("7", time.monotonic() + 1)
        hub.broker.close(1)


def test_a_process_that_starts_later_than_the_log_reaches_refuses_what_is_older(
    tmp_path: Path, hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    first = hub_with(broker_url=url, namespace="late")
    nitro.connect_broker()
    nitro.emit("t", result=1)
    nitro.flush()
    begun = time.monotonic()
    disconnect_user("7")
    nitro.flush()
    first.broker.close(1)
    time.sleep(2)
    monkeypatch.setattr(admission, "_STARTED", time.monotonic())
    late = hub_with(broker_url=url, namespace="late")
    nitro.connect_broker()
    assert late.admission.was_disconnected("9", begun - 1.5), "nobody knows who was dismissed before the oldest entry"
    assert not late.admission.was_disconnected("9", begun + 0.5), "the log has all since"
    assert late.admission.was_disconnected("7", begun + 0.5)
    assert not late.admission.was_disconnected("9", time.monotonic())
    late.broker.close(1)


def opens(server: Server, ticket: str) -> bool:
    """Whether a stream goes on that this ticket opens.

    Else it ends at once and its browser comes back, as where rights were read just before; or the answer is 401, so
    that its page asks for another ticket.
    """
    with Stream(server.port, f"/events?ticket={ticket}") as stream:
        if " 401 " in stream.read_head().head.splitlines()[0]:
            return False
        stream.read_until(b"id: ")
        server.post("/emit?topic=user.7.secret")
        while not stream.is_complete and b"data: " not in stream.body:
            stream.read_more()
        return b"data: " in stream.body


def test_a_ticket_from_before_a_dismissal_opens_nothing_in_a_process_that_missed_it(tmp_path: Path) -> None:
    environment = {"NITRO_BROKER_URL": f"sqlite:///{tmp_path / 'events.db'}", "NITRO_HISTORY_MESSAGES": "50"}
    app = "tests.apps.tickets:app"
    with Server(app, environment=environment) as one, Server(app, environment=environment) as other:
        ticket, issued = one.get("/ticket?user=7").json(), time.monotonic()
        assert opens(one, ticket)
        assert opens(other, ticket)
        time.sleep(1.1)  # rights that are a second older than a dismissal count as older
        other.process.send_signal(signal.SIGSTOP)
        one.post("/dismiss?user=7")
        one.post("/emit?topic=other&count=200")
        other.process.send_signal(signal.SIGCONT)
        until_told = time.monotonic() + 10
        while opens(other, ticket):  # until it has looked at the log
            assert time.monotonic() < until_told
        assert not opens(one, ticket)
        assert not opens(other, ticket)
        with Server(app, environment=environment) as late:
            assert not opens(late, ticket)
            time.sleep(max(0.0, issued + 6 - time.monotonic()))
            for server in (one, other, late):
                answer = server.get(f"/events?ticket={ticket}")
                assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
            time.sleep(1.1)
            for server in (one, other, late):
                assert opens(server, one.get("/ticket?user=7").json())


def test_an_order_is_written_as_every_version_reads_it() -> None:
    assert USER_DISCONNECT == "nitro.dismissal"
    assert UserDisconnect("7", True).payload == b'{"user_id":"7","for_good":true}'
