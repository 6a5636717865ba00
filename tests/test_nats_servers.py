"""The ways to a NATS: with a password or a token, without JetStream, a stream of an administrator's, a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Sized
from functools import partial
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import ClusterInfo, PeerInfo, StreamConfig, StreamInfo, StreamState

from nitro.brokers import tasks
from nitro.brokers.nats.jetstream import check_leader
from nitro.errors import PayloadTooLarge
from nitro.testing.conformance import RETENTION, eventually
from tests.brokers import Broker
from tests.cast import cast_on, check_events_get_across, ends_on, wait_until_open
from tests.services import NatsServer, administer, nats_cluster


@contextlib.contextmanager
def started(directory: Path, more: str = "") -> Iterator[NatsServer]:
    server = NatsServer(directory / "nats")
    server.more = more
    with server:
        yield server


def stream_of(url: str, work: Callable[[JetStreamContext], Awaitable[StreamInfo]], seconds: float = 5) -> StreamInfo:
    """What an administrator has of a stream, or makes of it."""
    return administer(url, lambda connection: work(connection.jetstream(timeout=seconds)))


@pytest.mark.parametrize(
    ("access", "user"),
    [('user: ann, password: "p@ss:word/#1"', "ann:p%40ss%3Aword%2F%231"), ('token: "t0k/en"', "t0k%2Fen")],
)
def test_who_may_gets_in_and_others_are_told(tmp_path: Path, access: str, user: str) -> None:
    with started(tmp_path, f"authorization {{ {access} }}\n") as server:
        check_events_get_across(f"nats://{user}@127.0.0.1:{server.port}")
        with ends_on(f"nats://ann:wrong@127.0.0.1:{server.port}", 1) as (end,):
            eventually(lambda: "Authorization" in end.broker.state.why_gone, "it says why")
            assert "wrong" not in end.broker.state.why_gone


def test_a_server_without_jetstream_is_told_of(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    server.has_jetstream = False
    with server, ends_on(server.url, 1) as (end,):
        eventually(lambda: "nats-server -js" in end.broker.state.why_gone, "it says why")


def test_a_stream_of_an_administrators_is_taken_as_it_is(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        made = stream_of(
            server.url,
            lambda jetstream: jetstream.add_stream(
                name="theirs", subjects=["nitro.app.*"], max_msgs=777, allow_atomic=True
            ),
        )
        check_events_get_across(server.url, "app")
        now = stream_of(server.url, lambda jetstream: jetstream.stream_info("theirs"))
        assert now.config == made.config
        assert now.state.messages == 200


def test_a_stream_that_takes_no_batches_is_told_of(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        stream_of(server.url, lambda jetstream: jetstream.add_stream(name="theirs", subjects=["nitro.app.*"]))
        with ends_on(server.url, 1, "app") as (end,):
            eventually(lambda: "allow_atomic" in end.broker.state.why_gone, "it says why")


def test_a_stream_that_acknowledges_nothing_is_told_of(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        stream_of(
            server.url,
            lambda jetstream: jetstream.add_stream(
                name="theirs", subjects=["nitro.app.*"], allow_atomic=True, no_ack=True
            ),
        )
        with ends_on(server.url, 1, "app") as (end,):
            eventually(lambda: "no_ack" in end.broker.state.why_refused, "it says why")


def test_a_retention_that_was_changed_is_applied(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        check_events_get_across(server.url, "app")
        with ends_on(server.url, 1, "app", RETENTION._replace(max_messages=50, max_age_seconds=60)) as (end,):
            wait_until_open(end)
        info = stream_of(server.url, lambda jetstream: jetstream.stream_info("nitro_app_1"))
        assert (info.config.max_msgs, info.config.max_age, info.state.messages) == (50, 60, 50)


async def delete_newest(jetstream: JetStreamContext, count: int) -> StreamInfo:
    newest = (await jetstream.stream_info("nitro_app_1")).state.last_seq
    for sequence in range(newest - count + 1, newest + 1):
        await jetstream.delete_msg("nitro_app_1", sequence)
    return await jetstream.stream_info("nitro_app_1")


def test_a_stream_whose_newest_messages_were_deleted_while_nobody_appended_is_another_log(tmp_path: Path) -> None:
    """Nobody could read to its end, and so nobody got in to append behind it."""
    with started(tmp_path) as server, ends_on(server.url, 1, "app") as (one,):
        wait_until_open(one)
        for n in range(10):
            one.publish(b"%d" % n)
        one.flush()
        before = one.broker.head
        stream_of(server.url, lambda jetstream: delete_newest(jetstream, 5))
        with ends_on(server.url, 1, "app") as (other,):
            wait_until_open(other)
            other.publish(b'"after"')
            for end in (one, other):
                eventually(lambda end=end: end.heard.payloads[-1:] == [b'"after"'], "it is heard")  # type: ignore[misc]
            assert one.broker.head.epoch == other.broker.head.epoch != before.epoch
            assert [reason for reason, _ in one.heard.gaps[1:]] == ["epoch"]


def test_a_batch_whose_end_was_deleted_is_another_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The end has the producer's number, without which nobody knows what of a batch stands."""
    with started(tmp_path) as server, ends_on(server.url, 1, "app") as (one,):
        wait_until_open(one)
        for n in range(100):
            one.publish(b"%d" % n)
        one.flush()
        eventually(lambda: len(one.heard.messages) == 100, "all are heard")
        stream_of(server.url, lambda jetstream: delete_newest(jetstream, 1))
        one.publish(b'"after"')
        eventually(lambda: one.heard.payloads[-1:] == [b'"after"'], "it is heard")
        assert [reason for reason, _ in one.heard.gaps[1:]] == ["epoch"]
    assert "KeyError" not in caplog.text


@contextlib.contextmanager
def cluster(directory: Path, limits: str = "") -> Iterator[list[NatsServer]]:
    """Three servers that are one."""
    servers = nats_cluster(directory, 3)
    with contextlib.ExitStack() as stack:
        for server in servers:
            server.limits = limits
            stack.enter_context(server)
        yield servers


def leader_of(servers: list[NatsServer], stream: str) -> int:
    """The place of the server that leads this stream, when there is one again that is known to all."""
    found: list[int] = []

    def is_found() -> bool:
        with contextlib.suppress(nats.errors.Error, OSError):
            infos = [stream_of(server.url, lambda jetstream: jetstream.stream_info(stream), 0.5) for server in servers]
            found[:] = {int((info.cluster.leader or "n-1").removeprefix("n")) for info in infos if info.cluster}
        return len(found) == 1 and found[0] >= 0

    eventually(is_found, "there is a leader", 30)
    return found[0]


def longer(heard: Sized, count: int) -> bool:
    return len(heard) > count


def test_a_leader_that_was_frozen_is_not_believed(tmp_path: Path) -> None:
    """It answers what it was asked meanwhile from what it knew, before it learns that there is another one."""

    async def answers(leader: NatsServer, others: list[NatsServer]) -> list[StreamInfo]:
        """What it says of the stream when it goes on, after 20 messages under another leader."""
        old = await nats.connect(leader.url, allow_reconnect=False)
        new = await nats.connect(others[0].url, allow_reconnect=False)
        leader.freeze()
        await asyncio.to_thread(leader_of, others, "s")
        for _ in range(20):
            await new.jetstream().publish("s.a", b"")
        asked = [asyncio.create_task(old.jetstream().stream_info("s")) for _ in range(20)]
        await asyncio.sleep(0.1)  # they are with the kernel
        leader.thaw()
        found = await asyncio.gather(*asked)
        await old.close()
        await new.close()
        return found

    with cluster(tmp_path) as servers:

        async def make(jetstream: JetStreamContext) -> StreamInfo:
            return await jetstream.add_stream(name="s", subjects=["s.>"], num_replicas=3)

        def is_made() -> bool:
            with contextlib.suppress(nats.errors.Error):
                stream_of(servers[0].url, make)
                return True
            return False

        eventually(is_made, "the cluster has its leader")
        leader = servers[leader_of(servers, "s")]
        for info in asyncio.run(answers(leader, [server for server in servers if server is not leader])):
            if info.state.last_seq < 20:
                with pytest.raises(ConnectionError, match="there may be another leader"):
                    check_leader(info)
            else:
                check_leader(info)


@pytest.mark.parametrize(
    ("silent_seconds", "is_believed"),
    [([], True), ([0.2, 0.2], True), ([0.2, 60], True), ([5.8, 5.8], False), ([60], False), ([0.2, 5, 5, 5], False)],
)
def test_a_leader_is_believed_that_has_heard_of_most_servers(silent_seconds: list[float], is_believed: bool) -> None:
    peers = [PeerInfo(active=round(seconds * 1e9)) for seconds in silent_seconds]
    info = StreamInfo(StreamConfig(), StreamState(0, 0, 0, 0, 0), cluster=ClusterInfo(replicas=peers))
    with contextlib.nullcontext() if is_believed else pytest.raises(ConnectionError, match="another leader"):
        check_leader(info)


@pytest.mark.timed
def test_a_cluster_whose_leader_is_killed_loses_and_overtakes_nothing(tmp_path: Path) -> None:
    """And it goes on as soon as there is another one, for what was asked meanwhile was dropped."""
    with cluster(tmp_path) as servers:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        with cast_on(Broker(tmp_path), f"nats://{hosts}?replicas=3") as cast:
            stream = f"nitro_{cast.namespace}_1"
            for _ in range(2):
                leader = servers[leader_of(servers, stream)]
                leader.end(signal.SIGKILL)
                leader_of([server for server in servers if server is not leader], stream)
                messages = cast.ends[2].heard.messages
                eventually(partial(longer, messages, len(messages) + 100), "it goes on", 3)
                leader.start()
            verdict = cast.finish()
            assert verdict.is_clean, verdict
            assert cast.gaps() == [[], [], []]


def test_a_cluster_that_acknowledges_late_is_waited_for(tmp_path: Path) -> None:
    """Its leader is well, so what it was told is on its way, and nothing is published again."""
    with cluster(tmp_path) as servers:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        with ends_on(f"nats://{hosts}?replicas=3", 1, "late") as (first,):
            wait_until_open(first)
            leader = servers[leader_of(servers, "nitro_late_1")]
            followers = [server for server in servers if server is not leader]
            with ends_on(f"nats://127.0.0.1:{leader.port}", 1, "late") as (end,):
                wait_until_open(end)
                for n in range(5):
                    end.publish(b"%d" % n)
                end.flush()
                before = end.broker.state.why_gone
                for follower in followers:
                    follower.freeze()
                end.publish(b"5")
                acknowledgement = end.broker.acknowledgement()
                assert acknowledgement is not None
                with pytest.raises(TimeoutError):
                    acknowledgement.result(2.5)
                for follower in followers:
                    follower.thaw()
                acknowledgement.result(10)
                assert end.broker.state.why_gone == before, "it has not failed"
                eventually(lambda: end.heard.payloads == [b"%d" % n for n in range(6)], "each is heard once")


@pytest.mark.parametrize("is_asked_before", [True, False])
def test_whoever_waits_for_an_event_that_is_thrown_away_is_told_and_nobody_else(
    tmp_path: Path, is_asked_before: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It was queued before the server was reached, and its limit known."""
    server = NatsServer(tmp_path / "nats")
    server.more = "max_payload: 64KB\n"
    with ends_on(server.url, 1) as (end,):
        publish = end.broker.publish
        numbers = [publish("a.b", None, payload) for payload in (b"1", b'"%s"' % (b"x" * 100_000), b"3")]
        waiting = [end.broker.acknowledgement(number) for number in numbers] if is_asked_before else []
        all_of_them = end.broker.acknowledgement() if is_asked_before else None
        with server:
            eventually(lambda: end.heard.payloads == [b"1", b"3"], "the others are heard")
            if is_asked_before:
                assert [bool(each and each.exception(10)) for each in waiting] == [False, True, False]
            else:
                all_of_them = end.broker.acknowledgement()
            assert all_of_them is not None
            with pytest.raises(PayloadTooLarge, match=r"64512 bytes at most, .* of 'a\.b' has .*max_payload"):
                all_of_them.result(10)
            assert end.broker.acknowledgement() is None, "it is told once"
            assert "an event is lost: " in caplog.text


def test_a_log_that_has_nothing_left_to_take_is_not_said_to_be_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did not take was too long for it, as it turned out."""
    monkeypatch.setattr(tasks, "ANSWER_SECONDS", 1.0)
    server = NatsServer(tmp_path / "nats")
    with server, ends_on(server.url, 1) as (end,):
        wait_until_open(end)
        server.freeze()
        end.broker.publish("a.b", None, b'"%s"' % (b"x" * 100_000))
        acknowledgement = end.broker.acknowledgement()
        assert acknowledgement is not None
        eventually(lambda: end.broker.state.gone_seconds, "it is away")
        server.end(signal.SIGKILL)
        server.more = "max_payload: 64KB\n"
        server.start()
        with pytest.raises(PayloadTooLarge):
            acknowledgement.result(20)
        eventually(lambda: not end.broker.state.gone_seconds, "it is there again")
