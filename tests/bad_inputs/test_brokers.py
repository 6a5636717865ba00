"""Rows 39 to 43 of docs/reference/bad-inputs.md: what stands in a log that others write to, too, or that is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nitro
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.messages.user_disconnect import USER_DISCONNECT
from nitro.testing.conformance import eventually
from tests.bad_inputs.raw_entries import FOREIGN, GARBAGE, NAMESPACE, PERHAPS, write_raw
from tests.bad_inputs.told_log import ToldLog, entry
from tests.bad_inputs.witnesses import Bystander
from tests.brokers import BROKERS, Broker, Postgres, SQLite
from tests.servers import Server
from tests.sse import Stream


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    is_durable = request.param == "sqlite"
    with BROKERS[request.param](tmp_path_factory.mktemp(request.param), is_durable=is_durable) as started:
        yield started


@pytest.fixture
def shared(broker: Broker, hub_with: Callable[..., Hub]) -> Iterator[Hub]:
    """A hub over a log of its own on the broker, which is open."""
    hub = hub_with(broker_url=broker.url, namespace=NAMESPACE)
    nitro.connect_broker()
    nitro.emit("first", result="first")
    eventually(lambda: "-1." in nitro.position(), "it is read")
    yield hub
    hub.broker.close(1)
    broker.wipe(NAMESPACE)


@pytest.mark.bad_input(39)
@pytest.mark.parametrize("what", GARBAGE)
def test_an_entry_that_is_no_message_is_skipped_counted_and_logged_once(
    what: str, broker: Broker, shared: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    with Bystander() as bystander:
        write_raw(broker, GARBAGE[what], GARBAGE[what])
        write_raw(broker, b'[1,"a.b",null,null]\n"a good one of theirs"', GARBAGE[what])
        bystander.lives_on("a good one of theirs")
    assert nitro.statistics().skipped_entries == 3
    told = [record for record in caplog.records if "is not a Nitro message" in record.getMessage()]
    assert len(told) == len(caplog.records) == 1
    assert told[0].getMessage().isprintable()


@pytest.mark.bad_input(39)
@pytest.mark.parametrize("what", PERHAPS)
def test_an_entry_that_may_be_an_event_is_skipped_and_announced(
    what: str, broker: Broker, shared: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    with Bystander() as bystander:
        write_raw(broker, PERHAPS[what])
        write_raw(broker, b'[1,"a.b",null,null]\n"a good one of theirs"')
        bystander.lives_on("expired", "a good one of theirs")
    assert nitro.statistics().skipped_entries == 1
    assert ["clients are told of a gap" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.bad_input(39)
@pytest.mark.parametrize(
    ("broker", "what"), [(kind, what) for kind, entries in FOREIGN.items() for what in entries], indirect=["broker"]
)
def test_an_entry_with_other_fields_is_skipped_counted_and_logged_once(
    what: str, broker: Broker, shared: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    with Bystander() as bystander:
        write_raw(broker, *[FOREIGN[broker.kind][what]] * 2)
        bystander.lives_on()
    assert nitro.statistics().skipped_entries == 2
    assert len(caplog.records) == 1


@pytest.mark.bad_input(39)
@pytest.mark.parametrize(
    "order", [b"7", b"[]", b"{}", b'{"user_id":7,"for_good":true}', b'{"user_id":"7","for_good":1}', b'{"user_id":"7"}']
)
def test_an_order_of_nitros_own_that_is_none_ends_nobody(order: bytes, broker: Broker, shared: Hub) -> None:
    with Bystander() as bystander, nitro.Client(topics=["*"], user_id="7") as client:
        write_raw(broker, b'[1,"%b",null,null]\n%b' % (USER_DISCONNECT.encode(), order))
        bystander.lives_on()
        assert client.is_connected


# --- a log that is broken


@pytest.fixture
def told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> ToldLog:
    """The log of this process, which is told what to hand out."""
    log = ToldLog()
    monkeypatch.setattr(process, "_hub", None)
    monkeypatch.setattr(process, "_broker", None)
    nitro.configure(broker=log)
    nitro.connect_broker()
    return log


@pytest.mark.bad_input(40)
@pytest.mark.parametrize(
    "answers",
    [
        [[1, 2, 2, 3]],
        [[1, 2, 3, 1, 2, 3]],
        [[1], [1], [2], [1, 2, 3]],
        [[1, 2], [0, -5, 1], [2, 3], [3]],
        [[1, 2, 3], [2]],
    ],
    ids=str,
)
def test_a_sequence_that_is_lower_or_was_there_already_is_dropped(answers: list[list[int]], told: ToldLog) -> None:
    with Bystander() as bystander:
        for answer in answers:
            told.tell(*map(entry, answer))
        bystander.lives_on(1, 2, 3)
    assert nitro.position().startswith("told-4.")


@pytest.mark.bad_input(40)
def test_an_entry_that_is_written_behind_our_back_is_never_heard(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    broker = SQLite(tmp_path)
    hub_with(broker_url=broker.url, namespace=NAMESPACE)
    nitro.connect_broker()
    with Bystander() as bystander:
        nitro.emit("a.b", result="ours")
        nitro.flush()
        eventually(lambda: "-1." in nitro.position(), "it is read")
        with broker.connect() as connection:
            theirs = b'[1,"a.b",null,null]\n"theirs"'
            connection.execute("INSERT INTO nitro_messages VALUES (?, 0, 0, ?)", (NAMESPACE, theirs))
            connection.execute("UPDATE nitro_messages SET body = ? WHERE sequence = 1", (theirs,))
        epoch = nitro.position().partition("-")[0]
        eventually(lambda: not nitro.position().startswith(epoch), "a log whose past was changed is another one")
        bystander.lives_on("ours", "epoch")


@pytest.mark.bad_input(41)
def test_a_jump_is_looked_at_again_and_nothing_is_missing_that_came_late(told: ToldLog) -> None:
    with Bystander() as bystander:
        told.tell(entry(1), entry(4))
        told.tell(entry(2), entry(3), entry(4))
        bystander.lives_on(1, 2, 3, 4)
    assert told.asked[:2] == [0, 1], "read again from where it was whole"


@pytest.mark.bad_input(41)
def test_a_jump_that_stays_is_a_gap_and_then_it_goes_on(told: ToldLog) -> None:
    with Bystander() as bystander:
        told.tell(entry(1), entry(4))
        told.tell(entry(4), entry(5))
        told.tell(entry(9))
        told.tell(entry(9))
        bystander.lives_on(1, "expired", 4, 5, "expired", 9)
    assert told.asked[:4] == [0, 1, 5, 5]


@pytest.mark.bad_input(41)
def test_a_jump_in_the_log_of_a_broker_is_a_gap_and_then_it_goes_on(broker: Broker, shared: Hub) -> None:
    with Bystander() as bystander:
        write_raw(broker, b'[1,"a.b",null,null]\n"behind the jump"', skipping=5)
        bystander.lives_on("expired", "behind the jump")


# --- entries that are too large


@pytest.mark.timed  # an entry that did not come within seconds is read again, beside what is left of the first time
@pytest.mark.bad_input(42)
def test_an_entry_of_100_mb_is_skipped_and_memory_is_bounded(broker: Broker) -> None:
    environment = {"NITRO_BROKER_URL": broker.url, "NITRO_NAMESPACE": NAMESPACE}
    with Server("tests.apps.streams:app", environment=environment) as server:
        with Stream(server.port, "/events").read_until(b"\nid: ") as stream:
            server.post("/emit").raise_for_status()
            stream.events(1)
            before = server.get("/left").json()["peak_kib"]
            write_raw(broker, b"x" * 100_000_000)
            server.post("/emit?start=1").raise_for_status()
            first, gap, second = stream.events(3)
            assert (first["n"], gap["reason"], second["n"]) == (0, "expired", 1)
        assert server.get("/statistics").json()["skipped_entries"] == 1
        grown = server.get("/left").json()["peak_kib"] - before
    broker.wipe(NAMESPACE)
    # SQLite is asked for its length first; Redis hands it over whole, and its driver copies it once.
    limit_mib = 16 if broker.kind == "sqlite" else 250
    assert grown < limit_mib * 1024, f"{grown // 1024} MiB"


# --- notifications


NOTES = [
    *("", "garbage", "outbox", "OUTBOX", "0", "-1", "\x01\x7f", "é\u2028"),
    *('{"sequence":99}', "'; DROP TABLE nitro_messages; --", "x" * 7999),
]


@pytest.mark.bad_input(43)
def test_garbage_in_a_notify_is_a_look_at_the_log_and_nothing_more(
    tmp_path_factory: pytest.TempPathFactory, hub_with: Callable[..., Hub], caplog: pytest.LogCaptureFixture
) -> None:
    with Postgres(tmp_path_factory.mktemp("postgresql")) as broker:
        hub = hub_with(broker_url=broker.url, namespace=NAMESPACE)
        nitro.connect_broker(20)
        with Bystander() as bystander:
            for note in NOTES * 3:
                broker.server.run(f"SELECT pg_notify('nitro_{NAMESPACE}', {quoted(note)})")
            assert "-0." in nitro.position()
            assert nitro.statistics().skipped_entries == 0
            nitro.emit("a.b", result="ours")
            bystander.lives_on("ours")
        assert nitro.statistics().broker_gone_seconds == 0
        assert caplog.records == []
        hub.broker.close(1)


def quoted(text: str) -> str:
    return "U&'" + "".join(f"\\{ord(char):04x}" for char in text) + "'"
