"""The hub over a log that other processes share: clients, resume, gaps, endings, forks and settings."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkContext, ForkServerContext, SpawnContext
from pathlib import Path

import pytest
from pydantic import SecretStr

import nitro
from nitro import Client, Gap
from nitro.brokers import codec
from nitro.brokers.idempotency import IdempotencyKey
from nitro.delivery.hub import Hub
from nitro.delivery.process import get_hub
from nitro.errors import BrokerUnavailable, ConfigurationError, InvalidPayload
from nitro.messages.message import UNKNOWN_STAMP, Message
from nitro.testing.conformance import RETENTION, End, eventually
from tests.brokers import BROKERS, Redis
from tests.cast import ends_on, wait_until_open
from tests.clients import take
from tests.model.shelf import Shelf, ShelfLog
from tests.servers import ROOT, Server
from tests.services import Proxy
from tests.sse import Stream

APP = "tests.apps.soak:app"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return BROKERS["sqlite"](tmp_path).url


@pytest.fixture
def shared(url: str, hub_with: Callable[..., Hub]) -> Iterator[Hub]:
    hub = hub_with(broker_url=url, namespace="app")
    yield hub
    hub.broker.close(1)


@pytest.fixture
def other(url: str) -> Iterator[End]:
    """Another process's end of the same log."""
    end = End(BROKERS["sqlite"](Path(url.removeprefix("sqlite:///")).parent).log("app"))
    wait_until_open(end)
    yield end
    end.broker.close(1)


def test_a_replay_up_to_an_entry_that_is_skipped_comes_to_its_end(
    url: str, other: End, hub_with: Callable[..., Hub]
) -> None:
    """The second one with its key is the newest entry, and no history has it."""
    start = other.broker.ask_head().result(10)
    for n in range(3):
        other.publish(b"%d" % n)
    key = IdempotencyKey("order-7", "once", time.time())
    for _ in range(2):
        other.broker.publish("a.b", None, b"3", None, key)
    other.flush()
    hub = hub_with(broker_url=url, namespace="app")
    nitro.connect_broker()

    async def resumed() -> list[object]:
        with Client(topics=["a.b"], last_event_id=str(start)) as client:
            await nitro.emit_async("a.b", result=4)  # in the page that is read next
            reading = asyncio.create_task(take(client, 6))
            await asyncio.sleep(0.1)
            await nitro.emit_async("a.b", result=5)
            return [message.data for message in await reading if not isinstance(message, Gap)]

    try:
        assert asyncio.run(resumed()) == list(range(6))
    finally:
        hub.broker.close(1)


def test_what_a_handler_emits_while_its_interpreter_exits_is_published(url: str, other: End) -> None:
    """The exit waits for the handler, and the broker for the exit."""
    script = """
import asyncio, nitro

@nitro.on("first")
async def goes_on(sender, **kwargs):
    await asyncio.sleep(0.2)
    nitro.emit("second", result=2)

nitro.emit("first", result=1)
"""
    environment = {**os.environ, "NITRO_BROKER_URL": url, "NITRO_NAMESPACE": "app"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    eventually(lambda: [message.topic for message in other.heard.messages] == ["first", "second"], "both are heard")


def test_a_handler_that_outlasts_its_interpreter_is_named() -> None:
    script = """
import asyncio, nitro
from nitro.events import background

background._EXIT_SECONDS = 0.2

@nitro.on("first")
async def goes_on(sender, **kwargs):
    await asyncio.sleep(60)

nitro.emit("first", result=1)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    assert "nitro handler of first was not done 0.2 s after this process wanted to end" in ended.stderr, ended.stderr


@pytest.mark.parametrize("seconds", [float("inf"), 1e12])
def test_however_long_a_thread_may_wait_it_waits_no_longer_than_need_be(shared: Hub, seconds: float) -> None:
    nitro.connect_broker(seconds)
    nitro.emit("a.b", result=1)
    nitro.flush(seconds)
    assert nitro.statistics().publish_queue_messages == 0


def test_events_of_another_process_are_heard_between_ones_own(shared: Hub, other: End) -> None:
    async def scenario() -> None:
        nitro.connect_broker()
        with Client(topics=["a.*"]) as client:
            nitro.emit("a.b", result=1)
            nitro.flush()
            other.publish(b"2")
            other.flush()
            await nitro.emit_async("a.b", result=3)
            assert [m.data for m in await take(client, 3) if isinstance(m, Message)] == [1, 2, 3]

    asyncio.run(scenario())


def test_a_client_resumes_from_an_id_that_another_process_gave_out(shared: Hub, other: End) -> None:
    for n in range(5):
        other.publish(b"%d" % n)
    eventually(lambda: len(other.heard.messages) == 5, "all are heard")
    id = other.heard.messages[1].id

    async def scenario() -> None:
        with Client(topics=["a.*"], last_event_id=id) as client:  # before the log was reached, perhaps
            found = await take(client, 3)
            assert [m.data for m in found if isinstance(m, Message)] == [2, 3, 4]

    asyncio.run(scenario())


def test_who_comes_before_the_log_is_reached_is_told_once_it_is(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    redis = Redis(tmp_path)
    hub = hub_with(broker_url=redis.url)

    async def scenario() -> None:
        with Client(topics=["a.*"]) as fresh, Client(topics=["a.*"], last_event_id="abc-1") as late:
            nitro.emit("a.b", result=1)
            assert nitro.position() == "none-0"
            assert not hub.broker.is_open
            await asyncio.to_thread(redis.start)
            for client in (fresh, late):
                gap, message = await take(client, 2)
                assert isinstance(gap, Gap)
                assert gap.reason == "epoch"
                assert isinstance(message, Message)
                assert message.data == 1

    try:
        asyncio.run(scenario())
    finally:
        hub.broker.close(1)
        redis.kill()


@pytest.mark.parametrize("is_another_log", [False, True])
def test_an_id_from_a_process_that_is_ahead_is_no_gap_however_long_this_one_needs(
    tmp_path: Path, hub_with: Callable[..., Hub], is_another_log: bool
) -> None:
    """It can't reach the log for seconds: neither what came meanwhile nor that the log is another one has it heard."""
    with Redis(tmp_path) as redis, Proxy(redis.port) as proxy, ends_on(redis.url, 1, namespace="app") as (ahead,):
        wait_until_open(ahead)
        hub = hub_with(broker_url=f"redis://127.0.0.1:{proxy.port}", namespace="app")
        nitro.connect_broker()

        async def scenario() -> None:
            start = ahead.broker.head
            ahead.publish(b"1")
            await asyncio.to_thread(eventually, lambda: hub.broker.head == ahead.broker.head != start, "both read it")
            proxy.stall()
            if is_another_log:
                redis.wipe("app")
                await asyncio.to_thread(eventually, lambda: ahead.heard.gaps[1:], "it is noticed")
            ahead.publish(b"2")
            await asyncio.to_thread(eventually, lambda: ahead.heard.payloads[-1:] == [b"2"], "it is heard elsewhere")
            with Client(topics=["a.*"], last_event_id=str(ahead.broker.head)) as client:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(4):
                        await take(client, 1)
                proxy.go_on()
                ahead.publish(b"3")
                (message,) = await take(client, 1)
                assert isinstance(message, Message), "nothing was lost"
                assert message.data == 3

        asyncio.run(scenario())
        hub.broker.close(1)


def test_an_id_that_is_nobodys_is_a_gap_where_the_client_came_and_what_came_since_is_heard(
    shared: Hub, other: End
) -> None:
    async def scenario() -> None:
        nitro.connect_broker()
        epoch = nitro.position().partition("-")[0]
        for id in (f"{epoch}-1000.abcdef", "0123456789-1.abcdef"):
            before = shared.broker.head
            with Client(topics=["a.*"], last_event_id=id) as client:
                await nitro.emit_async("a.b", result=id)
                gap, message = await take(client, 2)
                assert isinstance(gap, Gap)
                assert gap.resumed_at == before
                assert isinstance(message, Message)
                assert message.data == id

    asyncio.run(scenario())


class SlowToLetGo(ShelfLog):
    """It closes a connection no sooner than it may."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self.is_closing = threading.Event()
        self.may_close = threading.Event()
        self.has_closed = False

    async def close(self) -> None:
        self.is_closing.set()
        while not self.may_close.is_set():
            await asyncio.sleep(0.005)
        await super().close()
        self.has_closed = True


def test_a_link_that_is_closed_while_it_lets_go_of_a_connection_lets_go_of_it_whole() -> None:
    log = SlowToLetGo(Shelf())
    end = End(log)
    wait_until_open(end)
    log.cut()
    assert log.is_closing.wait(10)
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(end.broker.close, 1)
        eventually(lambda: end.broker._is_closed, "its thread is asked to end")
        log.may_close.set()
        closing.result(10)
    assert log.has_closed


def test_a_stream_opens_at_a_place_in_the_log(url: str) -> None:
    """The log is reached within milliseconds, and the stream waits for it, so the first id is one to come back with."""
    with Server(APP, environment={"NITRO_BROKER_URL": url}) as server, Stream(server.port, "/events") as stream:
        stream.read_head().read_until(b"id: ")
        assert b"none-0" not in stream.body
        assert b"event: gap" not in stream.body


@pytest.mark.timed
def test_a_stream_opens_without_a_log_after_a_while_and_is_told_when_it_is_there(tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    with Server(APP, environment={"NITRO_BROKER_URL": redis.url}) as server:
        began = time.monotonic()
        with Stream(server.port, "/events").read_head().read_until(b"id: none-0") as stream:
            assert 1.5 < time.monotonic() - began < 4
            redis.start()
            try:
                stream.read_until(b"event: gap")
                assert server.post("/emit?producer=p&n=1").status_code == 200
                stream.read_until(b'"n":1')
            finally:
                redis.kill()
    assert f"redis://127.0.0.1:{redis.port} can't be used" in server.output
    assert "is there again" in server.output


def test_emit_async_and_flush_say_that_the_broker_has_not_acknowledged(hub_with: Callable[..., Hub]) -> None:
    hub = hub_with(broker_url="redis://user:secret@127.0.0.1:1", publish_timeout_seconds=0.2)
    gone = r"redis://127\.0\.0\.1:1 has been unavailable for \d+\.\d s"
    away = rf"{gone} \(ConnectionError: .*\)"
    eventually(lambda: "ConnectionError" in hub.broker.state.why_gone, "it is noticed")
    with pytest.raises(BrokerUnavailable, match=rf"not acknowledged within 0\.2 s: {away}; .*published once"):
        asyncio.run(nitro.emit_async("a.b", result=1))
    with pytest.raises(BrokerUnavailable, match=rf"within 0\.1 s: {away}; "):
        nitro.flush(0.1)
    with pytest.raises(BrokerUnavailable, match=rf"not reached within 0\.1 s: ConnectionError.*; {gone}"):
        nitro.connect_broker(0.1)
    assert nitro.statistics().publish_queue_messages == 1
    assert nitro.statistics().broker_gone_seconds > 0.1
    assert "secret" not in repr(hub.broker)
    hub.broker.close(0)


def test_what_cannot_be_written_into_a_log_is_an_error_in_emit(shared: Hub) -> None:
    with pytest.raises(InvalidPayload, match="no text"):
        nitro.emit("a.b", "\ud800", result=1)
    with pytest.raises(InvalidPayload, match="use shorter ids"):
        nitro.emit("a.b", "x" * 5_000, result=1)
    nitro.emit("a.b", "x", result=1)
    nitro.flush()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://localhost", r"starts with 'kafka'.*memory://.*redis://.*postgresql://"),
        ("localhost:6379", "starts with 'localhost'; it may start with memory://"),
        ("localhost", "doesn't start with a scheme and //; it may start with memory://"),
        ("memory:///", "write memory:// and nothing more"),
        ("sqlite://", r"names no file.*sqlite:///events\.db"),
        ("sqlite:///:memory:", "names no file"),
        ("redis+sentinel://localhost:26379", "names its master"),
        ("redis://localhost/notanumber?db=x", r"NITRO_BROKER_URL: .*number of a database.*redis://host/0"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused_with_the_remedy(
    hub_with: Callable[..., Hub], url: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        hub_with(broker_url=url)


def test_a_namespace_that_can_not_be_used_is_refused(hub_with: Callable[..., Hub]) -> None:
    with pytest.raises(ConfigurationError, match="NITRO_NAMESPACE is 'a b'"):
        hub_with(broker_url="sqlite:///x.db", namespace="a b")


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("redis://x", "redis", "redis"), ("nats://x", "nats", "nats"), ("postgresql://x", "asyncpg", "postgresql")],
)
def test_a_missing_driver_names_the_extra_that_brings_it(url: str, package: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import nitro\n"
        "try: nitro.emit('a.b', result=1)\n"
        "except nitro.NitroError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "NITRO_BROKER_URL": url}, capture_output=True, text=True
    )
    assert f"pip install 'nitro-realtime[{extra}]'" in done.stdout, done.stderr


def test_the_broker_is_chosen_in_code_before_it_is_used(url: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from nitro.delivery import process

    with pytest.raises(ConfigurationError, match="too late"):
        nitro.configure(broker=url)
    monkeypatch.setattr(process, "_hub", None)
    monkeypatch.setattr(process, "_broker", None)
    for each in (url, SecretStr(url)):
        monkeypatch.setattr(process, "_hub", None)
        nitro.configure(broker=each)
        assert "sqlite" in repr(get_hub().broker)
        get_hub().broker.close(1)


# Processes that emit and end.


def run_script(script: str, url: str) -> None:
    environment = {**os.environ, "NITRO_BROKER_URL": url, "NITRO_NAMESPACE": "app", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=30)


def test_a_script_that_emits_and_ends_has_published(url: str, other: End) -> None:
    run_script("import nitro\nfor n in range(500): nitro.emit('a.b', result=n)", url)
    eventually(lambda: len(other.heard.messages) == 500, "all are heard")
    assert other.heard.payloads == [b"%d" % n for n in range(500)]


def test_a_script_that_raises_has_published_what_it_emitted_before(url: str, other: End) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_script("import nitro\nnitro.emit('a.b', result=1)\nraise SystemExit(3)", url)
    eventually(lambda: other.heard.payloads == [b"1"], "it is heard")


def emit_in_child(count: int) -> None:
    for n in range(count):
        nitro.emit("a.b", result=n)


Context = ForkContext | SpawnContext | ForkServerContext
CONTEXTS: list[Context] = [
    multiprocessing.get_context("fork"),
    multiprocessing.get_context("spawn"),
    multiprocessing.get_context("forkserver"),
]


# Python warns whoever forks beside threads; it is what this test is about, and what old applications do.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("context", CONTEXTS, ids=[context.get_start_method() for context in CONTEXTS])
def test_a_worker_of_multiprocessing_publishes_and_so_does_its_parent(
    context: Context, shared: Hub, other: End
) -> None:
    nitro.emit("a.b", result="before")
    nitro.flush()
    child = context.Process(target=emit_in_child, args=(100,))
    child.start()
    nitro.emit("a.b", result="meanwhile")
    child.join(20)
    assert child.exitcode == 0
    nitro.emit("a.b", result="after")
    eventually(lambda: len(other.heard.messages) == 103, "all are heard")
    assert [p for p in other.heard.payloads if not p.startswith(b'"')] == [b"%d" % n for n in range(100)]
    assert [p for p in other.heard.payloads if p.startswith(b'"')] == [b'"before"', b'"meanwhile"', b'"after"']


def test_a_long_lived_forked_worker_publishes_while_it_lives(url: str, other: End) -> None:
    """As Celery's prefork pool: the parent has used the broker, and the child ends without any exit handler."""
    script = """
import os, time
import nitro
nitro.emit('a.b', result='parent')
nitro.flush()
pid = os.fork()
if pid == 0:
    for n in range(10):
        nitro.emit('a.b', result=n)
    nitro.flush()
    os._exit(0)
os.waitpid(pid, 0)
nitro.emit('a.b', result='parent again')
"""
    run_script(script, url)
    eventually(lambda: len(other.heard.messages) == 12, "all are heard")
    assert other.heard.payloads == [b'"parent"', *(b"%d" % n for n in range(10)), b'"parent again"']


def test_a_script_whose_broker_is_gone_ends_soon_and_says_what_is_lost() -> None:
    script = "import nitro\nnitro.emit('a.b', result=1)"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NITRO_BROKER_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert time.monotonic() - began < 10
    assert "1 events are lost with this process: redis://127.0.0.1:1 has been unavailable for" in done.stderr


# What a log may hold that is nobody's: rows 39 to 43 are in the conformance suite, but for these.


def test_40_and_41_a_repeated_sequence_is_dropped_and_a_jump_is_looked_at_twice() -> None:
    import threading

    from nitro.brokers.base import NOWHERE, Entry, Extent
    from nitro.brokers.follower import Follower
    from nitro.brokers.history import History
    from nitro.messages.message import Position
    from nitro.testing.conformance import Heard

    def entry(sequence: int) -> Entry:
        return Entry(sequence, codec.encode("a.b", None, b"%d" % sequence, None), 0.0)

    heard = Heard()
    follower = Follower(History(NOWHERE, RETENTION), threading.RLock(), 1000)
    follower.start(heard)
    follower.go_on_in(Extent("e", 1, 0), 100)
    follower.begin()
    follower.take([entry(1), entry(2), entry(2), entry(1), entry(3)])
    assert heard.payloads == [b"1", b"2", b"3"]
    follower.take([entry(6)])
    assert heard.payloads == [b"1", b"2", b"3"], "it looks once more"
    follower.take([entry(4), entry(5), entry(6)])
    assert heard.payloads == [b"1", b"2", b"3", b"4", b"5", b"6"]
    follower.take([entry(9)])
    follower.take([entry(9), entry(10)])
    assert heard.payloads[-2:] == [b"9", b"10"]
    assert heard.gaps[1:] == [("expired", Position("e", 8, UNKNOWN_STAMP))]
