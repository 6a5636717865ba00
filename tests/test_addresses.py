"""Addresses: whose streams are counted together, by what servers and proxies say of where they come from."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nitro import Client
from nitro.delivery.hub import Hub
from nitro.errors import TooManyClients
from tests.servers import Server
from tests.sse import Stream

LIMIT = {"NITRO_MAX_CLIENTS_PER_ADDRESS": "2"}
OPTIONS: dict[str, tuple[str, ...]] = {"uvicorn": (), "granian": (), "hypercorn": ("--workers", "0")}
NAMES = ["", "testclient", "unknown", "_hidden", "/run/app.sock", "localhost"]
PROXY_OPTIONS = {**OPTIONS, "uvicorn": ("--forwarded-allow-ips", "*")}


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: that of a Unix socket has some hundred characters at most."""
    with tempfile.TemporaryDirectory(prefix="nitro") as found:
        yield Path(found)


def statuses(server: Server, *headers: str) -> list[str]:
    """What each of some streams, all open at once, is answered."""
    with contextlib.ExitStack() as opened:
        found = []
        for fields in headers:
            stream = opened.enter_context(
                Stream(server.place if isinstance(server.place, str) else server.port, "/events", fields)
            )
            found.append(stream.read_head().head.split()[1])
        return found


def forwarded(*addresses: str) -> list[str]:
    return [f"X-Forwarded-For: {address}\r\n" for address in addresses]


@pytest.mark.parametrize("runner", OPTIONS)
def test_who_comes_by_a_unix_socket_has_no_address_and_the_log_says_so_once(runner: str, directory: Path) -> None:
    options = OPTIONS[runner]
    with Server(
        "tests.apps.addresses:app", runner=runner, options=options, environment=LIMIT, uds=directory / "s"
    ) as server:
        assert statuses(server, *[""] * 5) == ["200"] * 5
    assert server.output.count("NITRO_MAX_CLIENTS_PER_ADDRESS can't limit") == 1


@pytest.mark.parametrize("has_port", [False, True], ids=["unix socket", "port"])
@pytest.mark.parametrize("runner", OPTIONS)
def test_behind_a_proxy_each_server_counts_by_what_the_proxy_says(runner: str, has_port: bool, directory: Path) -> None:
    with Server(
        f"tests.apps.addresses:{runner}_app",
        runner=runner,
        options=PROXY_OPTIONS[runner],
        environment=LIMIT,
        uds=None if has_port else directory / "s",
    ) as server:
        one, other = "192.0.2.1", "192.0.2.2"
        assert statuses(server, *forwarded(one, other, one, one, other, other)) == ["200"] * 3 + ["429", "200", "429"]
        same = ["198.51.100.1:1234", "::ffff:198.51.100.1", "198.51.100.1"]
        assert statuses(server, *forwarded(*same)) == ["200", "200", "429"]
        network = ["[2001:db8::1]:443", "2001:db8::2:1", "2001:db8:0:0:9::1", "2001:db8:0:1::1"]
        assert statuses(server, *forwarded(*network)) == ["200", "200", "429", "200"]
        for unknown in ("unknown", "_hidden", "_SEVKISEK"):
            assert statuses(server, *forwarded(*[unknown] * 4)) == ["200"] * 4


def test_by_a_port_the_peers_address_counts() -> None:
    with Server("tests.apps.addresses:app", environment=LIMIT) as server:
        assert statuses(server, "", "", "") == ["200", "200", "429"]
    assert "can't limit" not in server.output


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.1:5678"),
        ("192.0.2.1", " 192.0.2.1 "),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("192.0.2.1", "[::ffff:192.0.2.1]:443"),
        ("192.0.2.1", "::FFFF:C000:0201"),
        ("2001:db8::1", "[2001:db8::1]:443"),
        ("2001:db8::1", '"[2001:db8::2]"'),
        ("2001:db8::1", "2001:DB8:0:0:ffff::1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("fe80::1", "[fe80::1%eth0]:80"),
    ],
)
def test_ways_to_write_one_address_or_network_are_counted_together(
    one: str, other: str, hub_with: Callable[..., Hub]
) -> None:
    hub_with(max_clients_per_address=1)
    with Client(topics=["t"], address=one), pytest.raises(TooManyClients, match="one address"):
        Client(topics=["t"], address=other).connect()


@pytest.mark.parametrize(
    ("one", "other"), [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1"), ("::1", "127.0.0.1")]
)
def test_different_addresses_are_counted_apart(one: str, other: str, hub_with: Callable[..., Hub]) -> None:
    hub_with(max_clients_per_address=1)
    with Client(topics=["t"], address=one), Client(topics=["t"], address=other):
        pass


@pytest.mark.parametrize(
    "address",
    [*NAMES, "192.0.2.1, 192.0.2.2", "01.2.3.4", "[", "[]", ":443", "192.0.2.1:x", "fe80::1%", "\ud800", "a" * 10_000],
    ids=lambda address: ascii(address)[:20],
)
def test_what_is_no_ip_address_is_none(
    address: str, hub_with: Callable[..., Hub], caplog: pytest.LogCaptureFixture
) -> None:
    hub_with(max_clients_per_address=1)
    with contextlib.ExitStack() as connected:
        for _ in range(3):
            connected.enter_context(Client(topics=["t"], address=address))
    (told,) = caplog.records
    assert "X-Forwarded-For" in told.getMessage()
    assert told.getMessage().isascii()
    assert len(told.getMessage()) < 300


def test_a_client_that_is_connected_by_hand_needs_no_address(
    hub_with: Callable[..., Hub], caplog: pytest.LogCaptureFixture
) -> None:
    hub_with(max_clients_per_address=1)
    with Client(topics=["t"]), Client(topics=["t"]):
        assert caplog.records == []
