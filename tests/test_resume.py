"""Resume: who comes back goes on exactly where it was, or is told of a gap. In this process, and over sockets."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nitro
from nitro import Client, EventSourceResponse, Gap, Message, client_event, emit
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.delivery.process import get_hub
from nitro.messages.message import Position
from tests.clients import take
from tests.servers import Server
from tests.sse import Stream
from tests.wire import Wire

BOTH_WAYS = True

WRONG_IDS = [
    "abc",
    "0000000000-3",
    "$",
    ">",
    "-",
    "+",
    "１",
    "1_0",
    "+5",
    " 5",
    str(10**30),
    "-5",
    "{epoch}-",
    "{epoch}-x",
    "{epoch}-01",
    "{epoch}-1 ",
    "{epoch}-１",
    "{epoch}-" + str(10**30),
    "{epoch}-999999",
    "{epoch}-1,{epoch}-1",
    "\x00",
    "é",
    "x" * 8000,
]


def run(scenario: Callable[[], Coroutine[Any, Any, None]], seconds: float = 30) -> None:
    asyncio.run(asyncio.wait_for(scenario(), seconds))


def data(messages: list[Message | Gap]) -> list[Any]:
    assert all(isinstance(message, Message) for message in messages), messages
    return [message.data for message in messages if isinstance(message, Message)]


@pytest.mark.usefixtures("hub")
class TestInOneProcess:
    def test_a_client_gets_what_came_since_its_last_id_and_goes_on(self) -> None:
        async def scenario() -> None:
            with Client(topics=["a"]) as first:
                for n in range(3):
                    emit("a", result=n)
                seen = await take(first, 3)
            for n in range(3, 6):
                emit("a", result=n)
                emit("b", result="not heard")
            with Client(topics=["a"], last_event_id=seen[1].id) as second:
                emit("a", result=6)
                assert data(await take(second, 5)) == [2, 3, 4, 5, 6]

        run(scenario)

    def test_a_page_starts_at_the_position_that_it_was_rendered_at(self) -> None:
        async def scenario() -> None:
            emit("a", result="in the page already")
            position = nitro.position()
            emit("a", result="while the page loads")
            with Client(topics=["a"], last_event_id=position) as client:
                emit("a", result="live")
                assert data(await take(client, 2)) == ["while the page loads", "live"]

        run(scenario)

    @pytest.mark.parametrize("last_event_id", [None, ""])
    def test_without_an_id_it_starts_with_what_comes_next(self, last_event_id: str | None) -> None:
        async def scenario() -> None:
            emit("a", result="old")
            with Client(topics=["a"], last_event_id=last_event_id) as client:
                emit("a", result="new")
                assert data(await take(client, 1)) == ["new"]

        run(scenario)

    @pytest.mark.parametrize("wrong", WRONG_IDS, ids=ascii)
    def test_a_wrong_id_is_a_gap_and_then_live(self, wrong: str) -> None:
        async def scenario() -> None:
            emit("a", result="old")
            epoch = nitro.position().split("-")[0]
            last_event_id = wrong.replace("{epoch}", epoch)
            head = nitro.position()
            with Client(topics=["a"], last_event_id=last_event_id) as client:
                emit("a", result="new")
                gap, message = await take(client, 2)
            assert isinstance(gap, Gap)
            assert gap.reason == ("epoch" if wrong == "0000000000-3" else "invalid")
            assert gap.id == head
            assert data([message]) == ["new"]

        run(scenario)

    def test_an_id_that_is_no_string_is_a_type_error(self) -> None:
        with pytest.raises(TypeError, match="last_event_id is a string"):
            Client(topics=["a"], last_event_id=5)  # type: ignore[arg-type]

    def test_stream_leaves_a_gap_out_and_logs_it(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario() -> None:
            with Client(topics=["a"], last_event_id="abc") as client:
                emit("a", result=1)
                assert await anext(client.stream()) == 1

        run(scenario)
        assert "a gap (invalid)" in caplog.text

    def test_it_resumes_once_and_not_again_at_its_next_connect(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            emit("a", result=1)
            client = Client(topics=["a"], last_event_id=position)
            with client:
                assert data(await take(client, 1)) == [1]
            with client:
                emit("a", result=2)
                assert data(await take(client, 1)) == [2]

        run(scenario)

    def test_what_is_sent_to_it_alone_comes_after_the_replay(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            for n in range(1000):
                emit("a", result=n)
            with Client(topics=["a"], last_event_id=position) as client:
                client.send("alone")
                emit("a", result="live")
                assert data(await take(client, 1002)) == [*range(1000), "alone", "live"]

        run(scenario)

    def test_mutes_and_senders_hold_for_the_replay(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            for n in range(600):
                emit("a.x", f"s{n % 3}", result=n)
                emit("a.muted", "s1", result=n)
            topics = {"a.*": ["s1"]}
            with Client(topics=topics, muted_topics=["a.muted"], last_event_id=position) as client:
                assert data(await take(client, 200)) == [n for n in range(600) if n % 3 == 1]

        run(scenario)

    def test_a_client_connected_in_a_thread_resumes_in_the_loop_that_reads_it(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            for n in range(500):
                emit("a", result=n)
            client = Client(topics=["a"], last_event_id=position)
            await asyncio.to_thread(client.connect)
            emit("a", result=500)
            assert data(await take(client, 501)) == list(range(501))
            client.disconnect()

        run(scenario)

    def test_two_readers_one_after_the_other_share_a_replay(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            for n in range(700):
                emit("a", result=n)
            with Client(topics=["a"], last_event_id=position) as client:
                assert data([*await take(client, 300), *await take(client, 400)]) == list(range(700))

        run(scenario)


@pytest.mark.alone
def test_live_clients_hear_while_many_replay(hub_with: Callable[..., Hub]) -> None:
    hub_with(history_messages=10_000)

    async def scenario() -> None:
        position = nitro.position()
        for n in range(8_000):
            emit("a", result=n)
        await asyncio.sleep(0)
        back = [Client(topics=["a"], last_event_id=position).connect() for _ in range(60)]
        tapes = [Wire() for _ in back]
        live = Client(topics=["live"]).connect()
        responses = [tape.answer(EventSourceResponse(client)) for client, tape in zip(back, tapes, strict=True)]
        await asyncio.sleep(0)
        stream = live.stream()
        waits = []
        while not all(b"data: 7999\n" in tape.body for tape in tapes):
            began = time.monotonic()
            emit("live", result=1)
            await anext(stream)
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0)
        assert len(waits) > 50, "the replays were through before anybody else had a turn"
        assert sorted(waits)[len(waits) // 2] < 0.02
        for tape in tapes:
            assert tape.body.count(b"data: ") == 8_000
            tape.gone.set()
        await asyncio.gather(*responses)
        live.disconnect()

    run(scenario, 60)


def test_what_retention_forgot_is_a_gap_at_the_start(hub_with: Callable[..., Hub]) -> None:
    hub_with(history_messages=10)

    async def scenario() -> None:
        position = nitro.position()
        for n in range(11):
            emit("a", result=n)
        with Client(topics=["a"], last_event_id=position) as client:
            emit("a", result="live")
            gap, message = await take(client, 2)
        assert gap == Gap("expired", Position(position.split("-")[0], 11))
        assert data([message]) == ["live"]

    run(scenario)


def test_what_retention_forgets_during_a_replay_is_a_gap_in_its_middle(hub_with: Callable[..., Hub]) -> None:
    hub_with(history_messages=2_000)

    async def scenario() -> None:
        position = nitro.position()
        for n in range(1_500):
            emit("a", result=n)
        with Client(topics=["a"], last_event_id=position) as client:
            first = await take(client, 10)
            for n in range(1_500, 4_500):
                emit("a", result=n)
            rest = []
            async for message in client.messages():
                rest.append(message)
                if isinstance(message, Message) and message.data == 4_499:
                    break
        gaps = [n for n, message in enumerate(rest) if isinstance(message, Gap)]
        assert len(gaps) == 1
        assert data([*first, *rest[: gaps[0]]]) == list(range(10 + gaps[0]))
        gap = rest[gaps[0]]
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.resumed_at.sequence) == ("expired", 1_500)
        assert data(rest[gaps[0] + 1 :]) == list(range(1_500, 4_500))

    run(scenario)


@pytest.mark.usefixtures("hub")
class TestTheResponse:
    def test_the_first_bytes_keep_the_place_until_the_first_replayed_event(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            emit("a", result=1)
            tape = Wire(headers=((b"last-event-id", position.encode()),))
            frames = await tape.play(EventSourceResponse(Client(topics=["a"])), b"data: 1\n\n")
            assert frames == [
                (":", "retry: 2000", f"id: {position}"),
                (f"id: {nitro.position()}", "data: 1"),
            ]

        run(scenario)

    @pytest.mark.parametrize("named", [False, True])
    def test_a_gap_is_a_named_event_with_an_id_and_nothing_moves_the_id_before_it(self, named: bool) -> None:
        async def scenario() -> None:
            emit("a", result=0)
            head = nitro.position()
            tape = Wire(headers=((b"last-event-id", b"nonsense"),))
            response = EventSourceResponse(Client(topics=["a"]), named=named)
            task = tape.answer(response)
            await tape.until(b"event: gap")
            emit("a", result=1)
            body = await tape.until(b"data: 1\n\n")
            tape.gone.set()
            await task
            assert body.startswith(b":\nretry: 2000\nid: %b\nevent: gap\ndata: " % head.encode())
            assert json.loads(re.findall(rb"data: (.*)\n", body)[0]) == {"reason": "invalid", "resumed_at": head}

        run(scenario)

    def test_the_header_wins_over_the_query_and_the_query_over_since(self) -> None:
        async def scenario() -> None:
            positions = []
            for n in range(4):
                positions.append(nitro.position())
                emit("a", result=n)
            since = positions[3]
            query = b"x=1&last_event_id=" + positions[2].encode()
            header = ((b"last-event-id", positions[1].encode()),)
            for tape, first in ((Wire(query, header), 1), (Wire(query), 2), (Wire(), 3)):
                response = EventSourceResponse(Client(topics=["a"]), since=since)
                frames = await tape.play(response, b"data: 3\n\n")
                assert frames[1][1] == f"data: {first}"

        run(scenario)

    def test_an_empty_header_and_an_empty_query_are_a_fresh_start(self) -> None:
        async def scenario() -> None:
            emit("a", result="old")
            tape = Wire(b"last_event_id=&y=", ((b"last-event-id", b""),))
            response = EventSourceResponse(Client(topics=["a"]))
            task = tape.answer(response)
            await tape.until(f"id: {nitro.position()}\n\n".encode())
            emit("a", result="new")
            assert b"old" not in await tape.until(b"new")
            tape.gone.set()
            await task

        run(scenario)

    def test_one_that_is_ended_before_it_began_comes_back_to_where_it_was(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            emit("a", result=1)

            def refuse(sender: Any, action: str, client: Client, **kwargs: Any) -> None:
                client.disconnect()

            client_event.connect(refuse)
            try:
                tape = Wire(headers=((b"last-event-id", position.encode()),))
                await tape.answer(Client(topics=["a"]))
            finally:
                client_event.disconnect(refuse)
            assert re.findall(rb"id: (.*)\n", tape.body) == [position.encode()]

        run(scenario)

    def test_the_rest_of_a_half_read_replay_comes_in_order(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            for n in range(700):
                emit("a", result=n)
            client = Client(topics=["a"], last_event_id=position).connect()
            first = await take(client, 1)
            tape = Wire()
            frames = await tape.play(EventSourceResponse(client), b"data: 699\n\n")
            heard = [int(line[6:]) for frame in frames for line in frame if line.startswith("data: ")]
            assert [*data(first), *heard] == list(range(700))

        run(scenario)

    def test_a_second_response_resumes_from_what_its_browser_has_and_not_from_where_the_client_joined(self) -> None:
        async def scenario() -> None:
            client = Client(topics=["a"])
            first = Wire()
            earlier = first.answer(EventSourceResponse(client))
            await first.until(b"id: ")
            for n in range(10):
                emit("a", result=n)
            await first.until(b"data: 9\n")
            got = first.body.split(b"data: 4\n")[0].rsplit(b"id: ", 1)[1].split(b"\n")[0]  # the rest is lost on the way
            first.gone.set()
            await earlier
            second = Wire(headers=((b"last-event-id", got),))
            frames = await second.play(EventSourceResponse(client), b"data: 9\n")
            heard = [line[6:] for frame in frames for line in frame if line.startswith("data: ")]
            assert heard == ["5", "6", "7", "8", "9"]
            assert "gap" not in second.body.decode()

        run(scenario)

    def test_a_client_that_was_connected_before_the_response_resumes_too(self) -> None:
        async def scenario() -> None:
            position = nitro.position()
            emit("a", result=1)
            client = Client(topics=["a"]).connect()
            emit("a", result=2)
            tape = Wire(headers=((b"last-event-id", position.encode()),))
            frames = await tape.play(EventSourceResponse(client), b"data: 2\n\n")
            assert [frame[1] for frame in frames[1:]] == ["data: 1", "data: 2"]

        run(scenario)


@pytest.fixture(scope="module", params=["true", "false"], ids=["inline", "by task"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    environment = {"NITRO_INLINE_SEND": request.param, "NITRO_HISTORY_MESSAGES": "5000"}
    with Server("tests.apps.streams:app", environment=environment) as server:
        yield server


def ids(stream: Stream) -> list[str]:
    return re.findall(r"^id: (.*)$", stream.body.decode(), re.MULTILINE)


def test_a_browser_that_was_cut_gets_the_rest_over_the_wire(server: Server) -> None:
    with Stream(server.port, "/events").read_head().read_until(b"id: ") as stream:
        server.post("/emit?count=10")
        stream.events(10)
        last = ids(stream)[5]
    server.post("/emit?count=3000&start=10&pad=200")
    with Stream(server.port, "/events", f"Last-Event-ID: {last}\r\n").read_head() as stream:
        server.post("/emit?count=10&start=3010")
        assert [event["n"] for event in stream.events(3015)] == list(range(5, 3020))
        assert ids(stream)[0] == last


@pytest.mark.parametrize(
    "wrong", [b"abc", b"\xff\xfe", b"x" * 8000, b"a-1, a-1", b"a-1\r\nLast-Event-ID: a-1"], ids=ascii
)
def test_a_wrong_header_is_a_gap_and_the_stream_goes_on(server: Server, wrong: bytes) -> None:
    with Stream(server.port, "/events", "Last-Event-ID: " + wrong.decode("latin-1") + "\r\n") as stream:
        stream.read_head().read_until(b"event: gap")
        server.post("/emit?count=1&start=7")
        stream.read_until(b'"n":7')
        assert stream.body.count(b"event: gap") == 1


def test_history_that_is_gone_is_a_gap_over_the_wire(server: Server) -> None:
    with Stream(server.port, "/events").read_head().read_until(b"id: ") as stream:
        last = ids(stream)[0]
    server.post("/emit?count=5001")
    with Stream(server.port, f"/events?last_event_id={last}").read_head().read_until(b"event: gap") as stream:
        assert b'"reason":"expired"' in stream.body


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_replay_and_feed_together_are_the_log_from_the_id_on(data: st.DataObject) -> None:
    """Whatever the log holds, whoever listens, wherever it was, and whatever is emitted in the middle."""
    process._hub = None
    hub = get_hub()
    topics = ["a.x", "a.y", "b.x", "b.y.z"]
    emits = st.lists(st.tuples(st.sampled_from(topics), st.sampled_from([None, "s1", "s2"])), max_size=700)
    patterns = st.sampled_from(["a.*", "*.x", "b.y.z", "*", "a.x"])
    senders = st.sampled_from([nitro.ANY, ["s1"], ["s1", "s2"]])
    interest: dict[str, Any] = data.draw(st.dictionaries(patterns, senders, min_size=1, max_size=3))
    before, during = data.draw(emits), data.draw(emits)
    at = data.draw(st.integers(0, len(before)))

    async def scenario() -> None:
        epoch = hub.broker.head.epoch
        for topic, sender in before:
            emit(topic, sender, result=0)
        client = Client(topics=interest, last_event_id=f"{epoch}-{at}").connect()
        found: list[Message | Gap] = []

        async def read() -> None:
            async for message in client.messages():
                found.append(message)

        reading = asyncio.create_task(read())
        thread = threading.Thread(target=lambda: [emit(topic, sender, result=0) for topic, sender in during])
        thread.start()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0.01)
        while client._membership.outbox is not None and not client._membership.outbox.is_empty:
            await asyncio.sleep(0.001)
        heard = client._subscriptions.interest.hears
        expected = [m.position for m in hub.broker.read(Position(epoch, at), 10_000) if heard(m)]
        client.disconnect()
        await reading
        assert [message.position for message in found if isinstance(message, Message)] == expected
        assert len(found) == len(expected)

    run(scenario)
