"""What a request may cost: work is counted, never time. docs/about/security.md names a test for each row."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

import nitro
from nitro import Client, EventSourceResponse, Gap, Grant, emit, event_stream, requested_topics
from nitro.access import leaky_buckets
from nitro.access.admission import Admission
from nitro.access.leaky_buckets import LeakyBuckets
from nitro.access.permissions import Permissions
from nitro.access.topic_budget import TopicBudget
from nitro.clients.requested import Requested
from nitro.delivery import process, replay
from nitro.delivery.hub import Hub
from nitro.delivery.interest import Interest
from nitro.delivery.resumption import Resumption
from nitro.delivery.state import State
from nitro.errors import NotAuthenticated, TooManyClients, TooManyTopics
from nitro.messages.message import Message, Position
from nitro.settings import get_settings
from nitro.sse.greeting import refusal_of
from tests.fuzzing.exchange import Exchange
from tests.servers import Server, free_port
from tests.specification.hearing import run, until
from tests.sse import Stream
from tests.test_access import Request

pytestmark = pytest.mark.usefixtures("hub")

STARS = [f"todo.*a*{n:03d}*" for n in range(50)]


def asked(*patterns: str) -> Request:
    return Request("&".join(f"topic={pattern}" for pattern in patterns).encode())


def messages_of(client: Client, count: int) -> Callable[[], Any]:
    async def read() -> list[Any]:
        found: list[Any] = []
        async for message in client.messages():
            found.append(message)
            if len(found) == count:
                break
        return found

    return read


# --- what is asked for


def test_fifty_patterns_with_several_stars_may_be_asked_for_and_a_thousand_with_one() -> None:
    assert len(requested_topics(asked(*STARS))) == 50
    assert len(requested_topics(asked(*(f"room.{n}.*" for n in range(1000))))) == 1000
    with pytest.raises(TooManyTopics, match="a client may ask for 50 of those"):
        requested_topics(asked(*STARS, "a*b*c"))
    answer = event_stream(asked(*STARS, "a*b*c"), Grant(["*"], user_id="eve"))
    assert answer.status_code == 422


def test_the_applications_own_patterns_are_not_limited_so() -> None:
    client = Client(topics=[*STARS, "a*b*c"])
    assert len(client.topics) == 51


def test_whether_a_thousand_topics_are_granted_by_a_thousand_patterns_compares_none() -> None:
    permissions = Permissions.of({f"room.r{n}.*": None for n in range(1000)}, {"room.*.secret.*": None})
    assert all(permissions.cover(f"room.r999.*a{n}", None) for n in range(1000))
    assert not permissions.cover("room.r1000.*", None)
    assert sum(lookup.compared for lookup in permissions.lookups if lookup) == 0


@pytest.mark.parametrize(
    ("setting", "limit", "fits"),
    [
        ("max_topics_per_user", 120, 2),  # 60 topics, or one pattern with several stars and ten topics
        ("max_topics_per_address", 120, 2),
        ("max_topics", 22, 2),
        ("max_wildcards", 2, 2),
    ],
)
def test_what_clients_ask_for_counts_until_they_are_gone(
    setting: str, limit: int, fits: int, hub_with: Callable[..., Hub]
) -> None:
    hub = hub_with(**{setting: limit})

    async def scenario() -> None:
        def client(n: int) -> Client:
            topics = Requested([f"todo.*a*{n}", *(f"todo.{n}.{i}" for i in range(10))])
            return Client(topics=topics, allowed=["todo.*"], user_id="eve", address="192.0.2.1")

        connected = [client(n).connect() for n in range(fits)]
        with pytest.raises(TooManyClients, match=f"NITRO_{setting.upper()}") as refused:
            client(fits).connect()
        assert refused.value.retry_after_seconds >= 5
        assert nitro.statistics().refused == {"topics": 1}
        with Client(topics=["todo.*"], user_id="eve", address="192.0.2.1"):  # asked for nothing itself
            connected.pop().disconnect()
            connected.append(client(fits).connect())
        for each in connected:
            each.disconnect()
        assert repr(hub.admission._topics) == repr(TopicBudget(get_settings()))

    run(scenario)


def test_the_same_pattern_of_many_clients_counts_once_in_the_process(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_wildcards=1)

    async def scenario() -> None:
        topics = Requested(["todo.*a*b"])
        clients = [Client(topics=topics, allowed=["*"], user_id=str(n)).connect() for n in range(20)]
        with pytest.raises(TooManyClients, match="NITRO_MAX_WILDCARDS"):
            Client(topics=Requested(["todo.*a*c"]), allowed=["*"]).connect()
        for client in clients:
            client.disconnect()

    run(scenario)


# --- how often

TICK = 0.01


@pytest.mark.parametrize("whole", [5.0, 10.0, 100.0])
def test_one_stranger_who_comes_and_goes_keeps_nobody_out(whole: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(leaky_buckets, "monotonic", lambda: now[0])
    monkeypatch.setenv("NITRO_MAX_CONNECTS_PER_SECOND", str(whole))
    get_settings.cache_clear()
    admission = Admission(get_settings())
    let_in = {"good": 0, "stranger": 0}

    def come_and_go(who: str, user_id: str, address: str) -> None:
        with contextlib.suppress(TooManyClients):
            admission.leave(admission.admit(user_id, address))
            let_in[who] += 1

    for tick in range(2000):
        now[0] += TICK
        come_and_go("stranger", f"s{tick}", "192.0.2.1")
        if tick >= 100 and (tick - 100) % (100 // whole * 6) == 0:  # a sixth of all
            come_and_go("good", "good", "192.0.2.2")
    tries = len(range(100, 2000, int(100 // whole * 6)))
    assert let_in["good"] == tries
    assert let_in["good"] + let_in["stranger"] <= whole + 20 * whole + 1


def test_a_proxy_from_whose_address_all_come_is_held_to_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(leaky_buckets, "monotonic", lambda: now[0])
    monkeypatch.setenv("NITRO_MAX_CONNECTS_PER_SECOND", "20")
    get_settings.cache_clear()
    admission = Admission(get_settings())
    let_in = 0
    for tick in range(1000):
        now[0] += TICK
        with contextlib.suppress(TooManyClients):
            admission.leave(admission.admit(f"user {tick}", "192.0.2.1"))
            let_in += 1
    assert 200 <= let_in <= 221, "20 a second, and at once what a second's worth is"


def test_an_answer_that_is_no_stream_counts_too(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_connects_per_second_per_user=0.1)  # and three at once
    answers = [
        event_stream(asked(topic), Grant(["todo.*"], user_id="eve")) for topic in ("order", "x.*", "%00", "todo.a")
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 422, 429]


@pytest.mark.parametrize("path", ["/granted?user=eve", "/by-hand?topic=t"])
@pytest.mark.parametrize(
    ("method", "headers", "query", "status"),
    [("HEAD", {}, "", 200), ("GET", {"last-event-id": "stop"}, "", 204), ("GET", {}, "&envelope=1&probe=1", 200)],
    ids=["HEAD", "stop", "probe"],
)
def test_each_answer_without_a_stream_counts_like_a_connect(
    method: str, headers: dict[str, str], query: str, status: int, path: str
) -> None:
    whose = "USER" if "user" in path else "ADDRESS"
    limits = {f"NITRO_MAX_CONNECTS_PER_SECOND_PER_{whose}": "0.01"}  # and one at once
    with Server("tests.apps.greetings:app", environment=limits) as server:

        def ask(user: str = "eve") -> httpx.Response:
            url = server.url + path.replace("eve", user) + query
            return httpx.request(method, url, headers=headers, timeout=10, trust_env=False, verify=False)

        answers = [ask(), ask()]
        assert [answer.status_code for answer in answers] == [status, 429]
        assert answers[0].content == b"" or query
        assert 90 <= int(answers[1].headers["retry-after"]) <= 105
        refused = server.get(path)
        assert (refused.status_code, refused.headers.keys()) == (429, answers[1].headers.keys())
        if whose == "USER":
            assert ask("bob").status_code == status


def test_those_without_a_user_leave_half_of_each_budget_to_users(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_wildcards=4, max_topics=100)

    def connect(n: int, user_id: str | None) -> Client:
        return Client(topics=Requested([f"a*b*{n}"]), allowed=["*"], user_id=user_id).connect()

    clients = [connect(0, None), connect(1, None)]
    with pytest.raises(TooManyClients, match="NITRO_MAX_WILDCARDS"):
        connect(2, None)
    clients += [connect(2, "7"), connect(3, "7")]
    for client in clients:
        client.disconnect()
    with Client(topics=Requested([str(n) for n in range(50)]), allowed=["*"]):
        with pytest.raises(TooManyClients, match="NITRO_MAX_TOPICS"):
            Client(topics=Requested(["50"]), allowed=["*"]).connect()
        connect(4, "7").disconnect()


@pytest.mark.parametrize("whose", ["per_user", "per_address"])
def test_each_user_and_each_address_has_a_rate_of_its_own(whose: str, hub_with: Callable[..., Hub]) -> None:
    hub_with(**{f"max_connects_per_second_{whose}": 1, "max_clients_per_user": 1000})

    def connects(user_id: str, address: str) -> int:
        count = 0
        with contextlib.suppress(TooManyClients):
            while count < 1000:
                Client(topics=["t"], user_id=user_id, address=address).connect().disconnect()
                count += 1
        return count

    assert 30 <= connects("eve", "192.0.2.1") <= 33
    assert 30 <= connects("bob", "192.0.2.2") <= 33


def test_to_ask_for_a_thousand_topics_counts_like_eleven_connects_and_is_refused_unread(
    hub_with: Callable[..., Hub],
) -> None:
    hub_with(max_connects_per_second_per_user=1)
    much = asked(*(f"todo.{n}" for n in range(1000)))
    grant = Grant(["todo.*"], user_id="eve")
    for _ in range(2):
        response = event_stream(much, grant)
        assert isinstance(response, EventSourceResponse)
        response.client.connect().disconnect()
    response = event_stream(much, grant)
    assert isinstance(response, EventSourceResponse)
    with pytest.raises(TooManyClients, match="NITRO_MAX_CONNECTS_PER_SECOND_PER_USER"):
        response.client.connect()
    for _ in range(20):
        answer = event_stream(asked("todo.*"), grant)
        if not isinstance(answer, EventSourceResponse):
            break
        with contextlib.suppress(TooManyClients):
            answer.client.connect().disconnect()
    assert answer.status_code == 429
    assert event_stream(asked("what is no topic"), grant).status_code == 429, "it isn't even read"


def test_probes_count_for_their_user_and_take_nothing_of_the_whole(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_connects_per_second=12, max_connects_per_second_per_user=0.5)  # and 15 at once
    much = asked(*(f"todo.{n}" for n in range(1000)))

    def probe(user_id: str) -> int:
        response = event_stream(much, Grant(["todo.*"], user_id=user_id))
        return response.status_code if refusal_of(getattr(response, "client", None)) is None else 0

    assert [probe("eve") for _ in range(4)] == [200, 200, 429, 429]
    with Client(topics=["t"], user_id="bob") as client:
        assert client.is_connected


def test_a_feed_remembers_so_many_answers_however_many_topics_there_are() -> None:
    interest = Interest.of({"*": None}, set(), Permissions.of({"todo.*": None}, {}))
    for n in range(10_000):
        assert interest.lets_through((f"todo.{n}", None))
    assert len(interest._answers) <= 256


# --- what is replayed


def test_a_replay_looks_at_so_many_messages_and_the_client_is_told_of_the_rest(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_replay_messages=300)

    async def scenario() -> None:
        start = nitro.position()
        emit("mine", result="first")
        for n in range(400):
            emit(f"another.{n}", result=n)
        with Client(topics=["mine"], last_event_id=start) as client:
            emit("mine", result="live")
            found = await messages_of(client, 3)()
        assert [each.reason if isinstance(each, Gap) else each.data for each in found] == ["first", "overflow", "live"]

    run(scenario)


@pytest.mark.slow
def test_one_user_who_comes_back_again_and_again_waits_and_nobody_else(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_replay_messages_per_second=500)  # 5,000 at once: five times all there is

    async def scenario() -> None:
        start = nitro.position()
        for n in range(1000):
            emit(f"todo.{n}", result=n)

        async def come_back(user_id: str) -> tuple[int, float]:
            began = time.monotonic()
            with Client(topics=["todo.999"], user_id=user_id, last_event_id=start) as client:
                (message,) = await messages_of(client, 1)()
            return message.data, time.monotonic() - began

        eves = asyncio.gather(*(come_back("eve") for _ in range(8)))
        await asyncio.sleep(0.5)
        assert not eves.done()
        data, _ = await come_back("bob")
        assert data == 999
        assert not eves.done()
        results = await eves
        assert [data for data, _ in results] == [999] * 8, "all of it comes, later"
        waited = sorted(seconds for _, seconds in results)
        assert waited[-1] > 2, "8,000 were looked at: 5,000 at once, and 500 a second"

    run(scenario)


def test_a_stream_that_waits_for_its_next_page_is_told_then_however_much_is_emitted(
    hub_with: Callable[..., Hub],
) -> None:
    hub = hub_with(max_replay_messages_per_second=200, client_max_messages=100_000)

    async def scenario() -> None:
        start = nitro.position()
        for n in range(2_500):
            emit("todo", result=n)
        with Client(topics=["todo"], user_id="eve", last_event_id=start) as client:
            outbox = client.open_outbox()
            taken = Takes(outbox)
            outbox.attach(taken)
            outbox.free()
            await until(lambda: outbox.state is State.PAUSED)
            for n in range(2_500, 2_600):
                emit("todo", result=n)
                await asyncio.sleep(0)
            assert len(hub._lanes[asyncio.get_running_loop()].schedule._pace) == 1
            await until(lambda: len(taken.data) == 2_600, 10)
            assert taken.data == list(range(2_600))

    run(scenario)


def test_streams_of_one_user_that_wait_take_turns_in_order(
    hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_PAGE_SECONDS", 10.0)  # else a busy machine makes two pages of one
    hub = hub_with(max_replay_messages_per_second=5_120)  # a page in 50 ms

    async def scenario() -> None:
        start = nitro.position()
        for n in range(1_280):  # five pages
            emit("todo", result=n)
        turns: list[int] = []

        class Notes(Takes):
            def ready(self) -> bool:
                before = len(self.data)
                super().ready()
                turns.extend([sinks.index(self)] * (len(self.data) > before))
                return True

        with contextlib.ExitStack() as stack:
            clients = [Client(topics=["todo"], user_id="eve", last_event_id=start) for _ in range(7)]
            outboxes = [stack.enter_context(client).open_outbox() for client in clients]
            lane = hub._lanes[asyncio.get_running_loop()]
            lane.resumption._of_users.spend("eve", 51_200 + 512)
            sinks = [Notes(outbox) for outbox in outboxes]
            for outbox, sink in zip(outboxes, sinks, strict=True):
                outbox.attach(sink)
                outbox.free()
            await until(lambda: len(turns) >= 14)
            clients.pop(turns[0]).disconnect()  # its place is taken by the next
            await until(lambda: all(sink.data == list(range(1_280)) for sink in sinks if sink.outbox.chain), 10)
            first = turns[0]
            order = turns[:7]
            assert sorted(order) == list(range(7))
            left = [number for number in order if number != first]
            assert turns[:14] == order * 2
            assert [number for number in turns[14:] if number != first] == left * 3
            await until(lambda: not lane.schedule._pace)

    run(scenario)


class Takes:
    """A sink that takes all that waits, as a connection does."""

    def __init__(self, outbox: Any) -> None:
        self.outbox = outbox
        self.data: list[int] = []

    def ready(self) -> bool:
        while (message := self.outbox.take_message()) is not None:
            self.data.append(int(message.payload))
        return True

    def ended(self) -> None:
        pass


def replay_of(topics: list[str], patterns: list[str], pace: LeakyBuckets, user_id: str = "") -> replay.Replay:
    """Of a log with a message of each of these topics, for a client that hears these patterns."""
    log = [Message(topic, None, b"1", Position("e", n)) for n, topic in enumerate(topics, 1)]
    return replay.Replay(
        lambda after, limit: log[after.sequence : after.sequence + limit],
        Interest.of(dict.fromkeys(patterns), set()),
        Position("e", 0),
        Position("e", len(log)),
        replay.Allowance(1 << 20, 10_000, pace, user_id),
        Counter(),
    )


def test_a_page_ends_by_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_PAGE_SECONDS", 0.0)
    each = replay_of([f"todo.{n}" for n in range(100)], ["todo.*"], LeakyBuckets(1000, 10_000))
    pages = []
    while not each.is_over:
        batch = each.next_page()
        pages.append(len(batch.frames) if batch else 0)
    assert pages == [16, 16, 16, 16, 16, 16, 4]


def test_what_is_compared_for_a_replay_counts_for_its_user() -> None:
    spent = []
    for patterns in (["todo.a*"], STARS):
        pace = LeakyBuckets(1, 1e6)
        each = replay_of([f"todo.a{n:03d}{n:03d}b" for n in range(50)], patterns, pace, "eve")
        while not each.is_over:
            each.next_page()
        spent.append(round(pace.wait("eve", 1e6)))
    assert 49 <= spent[0] <= 50, "each was looked at once, and a second has passed at most"
    assert 50 < spent[1] <= 50 + 3 * 50, "and compared with those whose literal it has"


def test_buckets_that_ran_empty_are_forgotten() -> None:
    some = LeakyBuckets(1e9, 1e10)
    for n in range(10_000):
        some.spend(str(n), 1)
    assert len(some) < 1000


@pytest.mark.slow
def test_streams_of_one_user_who_take_silence_for_a_dead_line_get_through_all_the_same(
    hub_with: Callable[..., Hub],
) -> None:
    hub_with(max_replay_messages_per_second=1000)  # 10,000 at once: less than two of the three streams want

    async def scenario() -> None:
        start = nitro.position()
        for n in range(6_000):
            emit(f"todo.{n}", result=n)
        emit("mine", result="last")

        async def come_back() -> int:
            last_id, restarts = start, -1
            while True:
                restarts += 1
                exchange = Exchange(b"last_event_id=" + last_id.encode())
                client = Client(topics=["mine"], user_id="eve")
                task = exchange.begin(EventSourceResponse(client))
                size = 0
                with contextlib.suppress(TimeoutError):
                    while b"last" not in exchange.body:
                        async with asyncio.timeout(3):
                            while len(exchange.body) == size:
                                await asyncio.sleep(0.01)
                        size = len(exchange.body)
                last_id = [line[4:] for line in exchange.body.decode().split("\n") if line.startswith("id: ")][-1]
                exchange.gone.set()
                await task
                if b"last" in exchange.body:
                    return restarts

        restarts = await asyncio.gather(*(come_back() for _ in range(3)))
        assert sum(restarts) < 15, "each goes on where it was; else none would ever be through"

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_all_who_have_no_user_share_a_pace(hub_with: Callable[..., Hub]) -> None:
    hub = hub_with(max_replay_messages_per_second=100)  # for them 1,000, and 10,000 at once

    async def scenario() -> None:
        start = nitro.position()
        for n in range(9_000):
            emit(f"todo.{n}", result=n)
        clients = [Client(topics=["todo.8999"], last_event_id=start).connect() for _ in range(2)]
        readings = [asyncio.create_task(messages_of(client, 1)()) for client in clients]
        lane = hub._lanes[asyncio.get_running_loop()]
        await until(lambda: any(client.open_outbox().state is State.PAUSED for client in clients))
        assert len(lane.resumption._of_nobody) == len(lane.schedule._pace) == 1
        for reading in readings:
            reading.cancel()
        for client in clients:
            client.disconnect()

    run(scenario)


def test_a_replay_remembers_so_many_answers_however_many_topics_there_are() -> None:
    each = replay_of([f"todo.{n}" for n in range(5_000)], ["todo.*"], LeakyBuckets(1e6, 1e7))
    while not each.is_over:
        each.next_page()
        assert len(each._heard_kinds) <= 256


# --- who is held


def test_who_is_held_for_a_place_that_is_far_is_not_looked_at_in_each_tick() -> None:
    looks = [0]
    code = Resumption._is_unknown.__code__

    def count(frame: FrameType, event: str, argument: object) -> None:
        looks[0] += event == "call" and frame.f_code is code

    async def scenario() -> None:
        here = Position.parse(nitro.position())
        assert here is not None
        with Client(topics=["todo"]):
            lane = process.get_hub()._lanes[asyncio.get_running_loop()]
            held = [Client(topics=["todo"]).connect() for _ in range(100)]
            for each in held:
                lane.resumption.hold(each.open_outbox(), here._replace(sequence=here.sequence + 1_000_000))
            emit("todo", result=0)
            await asyncio.sleep(0)
            sys.setprofile(count)
            try:
                for n in range(50):
                    emit("todo", result=n)
                    await asyncio.sleep(0)
            finally:
                sys.setprofile(None)
            assert lane.position.sequence >= here.sequence + 50
            assert looks[0] == 0
            for each in held:
                each.disconnect()

    run(scenario)


# --- who waits for the log


def test_streams_that_wait_for_a_log_that_is_away_are_counted() -> None:
    environment = {"NITRO_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0", "NITRO_MAX_CLIENTS": "3"}
    with Server("tests.apps.streams:app", environment=environment) as server, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(server.port, "/events")) for _ in range(3)]
        server.get("/left")
        with Stream(server.port, "/events") as one_more:
            assert " 429 " in one_more.read_head().head.splitlines()[0]
        streams[0].reset()
        for stream in streams[1:]:
            assert " 200 " in stream.read_head().head.splitlines()[0]
        assert server.get("/statistics").json()["refused"] == {"clients": 1}


def test_rights_that_end_while_a_stream_waits_give_its_slot_back(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    hub = hub_with(broker_url=f"sqlite:///{tmp_path / 'log.db'}")

    async def scenario() -> None:
        statuses = []
        for n in range(40):
            exchange = Exchange(b"")
            try:
                client = Client(topics=["todo"], user_id="eve", expires_at=time.time() + 0.0005 * n)
            except NotAuthenticated:
                continue
            task = exchange.begin(EventSourceResponse(client))
            await until(lambda exchange=exchange: exchange.start)  # type: ignore[misc]  # of a lambda with a default
            statuses.append(exchange.start["status"])
            exchange.gone.set()
            await task
        assert 401 in statuses
        await until(lambda: not hub.admission._clients)

    run(scenario)
    hub.broker.close(1)
