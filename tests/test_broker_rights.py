"""The rights that the documentation gives an application's user on a broker: enough for it, and others are kept out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from nats.aio.client import Client
from redis.exceptions import NoPermissionError

from nitro.errors import ConfigurationError
from nitro.testing.conformance import eventually
from tests.cast import check_events_get_across, check_streams_get_across, ends_on, wait_until_open
from tests.services import NatsServer, RedisCluster, RedisServer, administer
from tests.test_database_of_the_application import documented

RUNS_BLOCKS = {"docs/how-to/scaling.md": ["redis", "nats"]}
HEADING = "Rights on the broker"

RIGHTS, RIGHTS_OF_STREAMS = documented("redis", HEADING)


def give_rights(server: RedisServer, *more: str, rights: str = RIGHTS) -> None:
    assert server.run(*rights.split(), *more) == b"+OK\r\n"


def test_on_redis_one_namespace_is_all_that_its_user_has(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        give_rights(server)
        url = f"redis://application:password@127.0.0.1:{server.port}"
        check_events_get_across(url, "shop")
        with ends_on(url, 1, "blog") as (end,):
            eventually(lambda: "no permissions" in end.broker.state.why_refused.lower(), "another namespace is refused")
        give_rights(server, "+select", "+client|setname")
        check_events_get_across(f"{url}/3?client_name=shop", "shop")
        server.run(
            "ACL", "SETUSER", "other", "on", ">pw", "~{nitro:blog}*", "~cache:*", "+@all", "-@admin", "-@dangerous"
        )
        other = redis.Redis(port=server.port, username="other", password="pw")
        for command in ("GET", "HGETALL", "DEL", "XLEN"):
            with pytest.raises(NoPermissionError):
                other.execute_command(command, "{nitro:shop}")  # type: ignore[no-untyped-call]  # redis-py has no types
        for command in ("MONITOR", "FLUSHALL", "CONFIG GET *"):
            with pytest.raises(NoPermissionError):
                other.execute_command(command)  # type: ignore[no-untyped-call]  # as above
        other.close()
        assert server.run("ACL", "SETUSER", "default", "off") == b"+OK\r\n"
        check_events_get_across(url, "shop")
        with ends_on(f"redis://127.0.0.1:{server.port}", 1, "shop") as (end,):
            eventually(lambda: "correct user and password" in end.broker.state.why_refused, "nobody comes without")


def test_for_runs_its_user_on_redis_has_more_keys_and_commands_of_that_namespace(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        give_rights(server)
        url = f"redis://application:password@127.0.0.1:{server.port}"
        with pytest.raises(ConfigurationError, match=r"(?i)no permissions"):
            check_streams_get_across(url, "shop")
        give_rights(server, rights=RIGHTS_OF_STREAMS)
        check_streams_get_across(url, "shop")
        check_events_get_across(url, "shop")
        with pytest.raises(ConfigurationError, match=r"(?i)no permissions"):
            check_streams_get_across(url, "blog")


def test_in_a_redis_cluster_its_user_looks_for_the_nodes_too(tmp_path: Path) -> None:
    with RedisCluster(tmp_path) as server:
        assert server.run("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == b"+OK\r\n"
        give_rights(server, "+command", "+cluster|slots")
        check_events_get_across(f"redis+cluster://application:password@127.0.0.1:{server.port}", "shop")


def test_on_nats_an_account_is_all_that_its_user_has(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    (server.more,) = documented("nats", HEADING)
    with server, ends_on(f"nats://application:password@127.0.0.1:{server.port}", namespace="shop") as (one, other):
        wait_until_open(one, other)
        one.publish(b"1")
        one.flush()
        assert administer(f"nats://other:password@127.0.0.1:{server.port}", use_everything) == []
        one.publish(b"2")
        one.flush()
        eventually(lambda: len(other.heard.messages) == 2, "both are heard")
        assert other.heard.payloads == [b"1", b"2"]
        assert other.broker.state.skipped == 0


def test_for_runs_its_user_on_nats_publishes_and_hears_more(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    (accounts,) = documented("nats", HEADING)
    publish, subscribe = 'publish: ["nitro.shop.*", ', 'subscribe: "_INBOX.>"'
    assert publish in accounts
    assert subscribe in accounts
    more = 'subscribe: ["_INBOX.>", "nitro.shop.news.>", "$JS.EVENT.ADVISORY.STREAM.>"]'
    accounts = accounts.replace(publish, f'{publish}"nitro.shop.streams.>", ').replace(subscribe, more)
    server.more = accounts
    url = "nats://application:password@127.0.0.1:"
    with server:
        check_events_get_across(f"{url}{server.port}", "shop")
        check_streams_get_across(f"{url}{server.port}", "shop")


async def use_everything(nats: Client) -> list[str]:
    """Publish into another account's log, and look for it; the streams that are found."""
    await nats.publish("nitro.shop.me", b"forged")
    await nats.flush()
    found = await nats.request("$JS.API.STREAM.NAMES", b"{}", timeout=5)
    return list(json.loads(found.data).get("streams") or ())
