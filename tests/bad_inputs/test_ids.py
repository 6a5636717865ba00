"""Rows 25 to 31 of docs/reference/bad-inputs.md: ids, retry and Last-Event-ID."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import nitro
from nitro import ANY, Client, EventSourceResponse, Gap, emit
from nitro.delivery.frame import encode_event
from nitro.delivery.hub import Hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidField
from nitro.settings import get_settings
from nitro.testing.conformance import End, eventually
from tests.bad_inputs.raw import RawStream, get
from tests.bad_inputs.witnesses import HISTORY, Bystander, Neighbour
from tests.brokers import SQLite
from tests.cast import wait_until_open
from tests.specification.hearing import run

BREAKS = [f"{before}{char}{after}" for char in "\r\n\0" for before in ("", "a") for after in ("", "b")]


# --- what this side writes


@pytest.mark.bad_input(25)
@pytest.mark.parametrize("bad", BREAKS, ids=ascii)
def test_a_line_end_or_nul_gets_into_no_id_no_name_and_no_header(bad: str, bystander: Bystander) -> None:
    writes: list[tuple[str, Callable[[], object]]] = [
        ("SSE id", lambda: encode_event(b"1", id=bad)),
        ("SSE event", lambda: encode_event(b"1", event=bad)),
        ("header", lambda: EventSourceResponse(Client(topics=[]), headers={"x-a": bad})),
        ("header", lambda: EventSourceResponse(Client(topics=[]), headers={f"x-a{bad}": "1"})),
    ]
    for what, write in writes:
        with pytest.raises(InvalidField, match=what) as caught:
            write()
        assert isinstance(caught.value, ValueError)
        assert str(caught.value).isprintable()
    bystander.lives_on()


@pytest.mark.bad_input(25)
@pytest.mark.parametrize("bad", ["10 €", "\ud800"], ids=ascii)
def test_a_header_that_has_no_bytes_is_refused_where_the_response_is_made(bad: str, bystander: Bystander) -> None:
    for headers in ({"x-a": bad}, {f"x-a{bad}": "1"}):
        with pytest.raises(InvalidField, match="a header can't hold CR, LF or NUL, nor what ISO 8859-1 hasn't"):
            EventSourceResponse(Client(topics=[]), headers=headers)
    unlike: Any = {"x-a": 5}
    with pytest.raises(ArgumentTypeError, match="a header is two strings, not 'x-a': 5"):
        EventSourceResponse(Client(topics=[]), headers=unlike)
    bystander.lives_on()


@pytest.mark.bad_input(25)
@pytest.mark.parametrize("bad", ["é", "1\u2028", "１", "\ud800"], ids=ascii)
def test_an_id_that_is_not_ascii_is_refused(bad: str, bystander: Bystander) -> None:
    with pytest.raises(InvalidField, match="an SSE id is ASCII, not") as caught:
        encode_event(b"1", id=bad)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).isascii()
    bystander.lives_on()


@pytest.mark.bad_input(26)
@pytest.mark.parametrize("bad", [-1, 1.5, True, "1e3"], ids=repr)
def test_a_retry_that_is_no_number_of_milliseconds_is_refused_where_the_response_is_made(
    bad: Any, bystander: Bystander
) -> None:
    with pytest.raises(InvalidField, match="retry is a whole number of milliseconds, 0 or more, not") as caught:
        EventSourceResponse(Client(topics=[]), retry_milliseconds=bad)
    assert isinstance(caught.value, ValueError)
    bystander.lives_on()


@pytest.mark.bad_input(26)
@pytest.mark.parametrize("bad", ["-1", "1.5", "True", "1e3"])
def test_a_retry_in_the_environment_that_is_none_is_an_error_that_names_the_setting(
    bad: str, bystander: Bystander, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NITRO_RETRY_MILLISECONDS", bad)
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match="NITRO_RETRY_MILLISECONDS") as caught:
        get_settings()
    assert isinstance(caught.value, ValueError)
    monkeypatch.delenv("NITRO_RETRY_MILLISECONDS")
    get_settings.cache_clear()
    bystander.lives_on()


# --- what a browser, or somebody else, says that it has


def ask(neighbour: Neighbour, header: bytes | None = None, query: bytes | None = None) -> RawStream:
    """A stream of everything, for who says that this is the last that it had."""
    path = b"/everything" if query is None else b"/everything?last_event_id=" + quote(query).encode()
    return RawStream(neighbour.server.port, get(path, *([] if header is None else [b"Last-Event-ID: " + header])))


def gaps(stream: RawStream) -> list[str]:
    """The reasons of those that came."""
    return [json.loads(data)["reason"] for data in re.findall(rb"event: gap\ndata: (.*)\n", stream.body)]


def check_fresh(stream: RawStream, neighbour: Neighbour) -> None:
    """It starts with what comes next."""
    stream.read_until(b"\nid: ")
    neighbour.emit(("t.x", "after"))
    stream.read_until(b'data: "after"\n')
    assert b"before" not in stream.body
    assert gaps(stream) == []


def check_gap(stream: RawStream, neighbour: Neighbour, *reasons: str) -> None:
    """It is told once that something is missing, before it gets an id or anything else, and then what comes next."""
    assert stream.status == 200
    stream.read_until(b"event: gap\n").read_until(b"}\n\n")
    head = neighbour.emit(("t.x", "after"))
    stream.read_until(b'data: "after"\n')
    assert b"before" not in stream.body
    assert gaps(stream) in [[reason] for reason in reasons]
    ids = re.findall(rb"^id: (.*)$", stream.body, re.MULTILINE)
    assert stream.body.index(b"\nid: ") == stream.body.index(b"\nid: %b\nevent: gap" % ids[0])
    assert ids[-1] == head.encode()


@pytest.mark.bad_input(27)
@pytest.mark.parametrize(("header", "query"), [(b"", None), (b" \t ", None), (b"", b""), (None, b""), (None, None)])
def test_an_empty_id_is_a_fresh_start(header: bytes | None, query: bytes | None, neighbour: Neighbour) -> None:
    neighbour.emit(("t.x", "before"))
    with ask(neighbour, header, query) as stream:
        check_fresh(stream, neighbour)
    neighbour.lives_on()


WRONG = {
    "epoch": b"0000000000-3 none-0 {epoch}0-1".split(),
    "expired": b"{epoch}-0 {epoch}-{forgotten}".split(),
    "invalid": [
        *b"abc {epoch}-{future} {epoch}-999999 $ > - + * 0 -1 1_0 +5 {epoch}-01 {epoch}-+5 {epoch}-1_0".split(),
        *(b" 5", b"{epoch}- 5", b"10", b"1" + b"0" * 30, b"{epoch}-1" + b"0" * 30, b"{epoch}-", b"{epoch}"),
        *b"{epoch}-1. {epoch}-1.0 {epoch}-1.00000 {epoch}-1.0000000 {epoch}-1.00000g {epoch}-1.ABCDEF".split(),
        *("１".encode(), "{epoch}-１".encode(), "é".encode(), b"\xff\xfe", b"{epoch}-\xff"),
    ],
}


@pytest.mark.bad_input(28)
@pytest.mark.parametrize("way", ["header", "query"])
@pytest.mark.parametrize(
    ("id", "reason"), [(id, reason) for reason, ids in WRONG.items() for id in ids], ids=lambda value: ascii(value)[:30]
)
def test_an_id_that_the_log_can_not_continue_from_is_a_gap_and_then_live(
    id: bytes, reason: str, way: str, neighbour: Neighbour
) -> None:
    neighbour.emit(*[("t.x", f"before {n}") for n in range(HISTORY + 2)])
    epoch, _, head = neighbour.emit(("t.x", "before")).partition("-")
    places = {"epoch": epoch, "future": int(head) + 1, "forgotten": int(head) - HISTORY - 1}
    for name, value in places.items():
        id = id.replace(b"{%b}" % name.encode(), str(value).encode())
    with ask(neighbour, **{way: id}) as stream:
        check_gap(stream, neighbour, reason)
    neighbour.lives_on()


@pytest.mark.bad_input(29)
@pytest.mark.parametrize(
    "lines",
    [
        [b"x" * 8192],
        [b"{epoch}-" + b"1" * 8192],
        [b"\xff" * 8192],
        [b"x" * 60_000],
        [b"{epoch}-{head}", b"{epoch}-{head}"],
        [b"{epoch}-{head}", b"abc"],
        [b"a", b"{epoch}-{head}"],
        [b"a"] * 80,
    ],
    ids=lambda lines: f"{len(lines)} of {len(lines[0])}",
)
def test_a_header_that_is_long_or_comes_twice_is_a_gap_or_refused(lines: list[bytes], neighbour: Neighbour) -> None:
    epoch, _, head = neighbour.emit(("t.x", "before")).partition("-")
    lines = [line.replace(b"{epoch}", epoch.encode()).replace(b"{head}", head.encode()) for line in lines]
    request = get(b"/everything", *[b"Last-Event-ID: " + line for line in lines])
    with RawStream(neighbour.server.port, request) as stream:
        if stream.status == 200:
            check_gap(stream, neighbour, "invalid")
        else:
            assert stream.status in (400, 431)
    neighbour.lives_on()


@pytest.mark.bad_input(30)
def test_a_header_counts_and_not_a_query_parameter_that_disagrees(neighbour: Neighbour) -> None:
    first = neighbour.emit(("t.x", "one")).encode()
    second = neighbour.emit(("t.x", "two")).encode()
    neighbour.emit(("t.x", "three"))
    for header, query, heard in [
        (first, second, [b'"two"', b'"three"', b'"live"']),
        (second, first, [b'"three"', b'"live"']),
        (second, b"abc", [b'"three"', b'"live"']),
        (b"", first, [b'"two"', b'"three"', b'"live"']),
    ]:
        with ask(neighbour, header, query).read_until(b"\nid: ") as stream:
            neighbour.emit(("t.x", "live"))
            stream.read_until(b'data: "live"\n')
            assert re.findall(rb"^data: (.*)$", stream.body, re.MULTILINE)[: len(heard)] == heard
            assert gaps(stream) == []
    with ask(neighbour, b"abc", first) as stream:
        check_gap(stream, neighbour, "invalid")
    neighbour.lives_on()


# --- ids of others


async def heard_with(last_event_id: str, **options: Any) -> list[Any]:
    """Data and reasons of gaps, up to what is live, for a client that comes with this id."""
    heard: list[Any] = []
    with Client(last_event_id=last_event_id, **options) as client:
        emit("user.8.note", result="live")
        async for message in client.messages():
            heard.append(message.reason if isinstance(message, Gap) else message.data)
            if heard[-1] == "live":
                break
    return heard


@pytest.mark.bad_input(31)
def test_an_id_of_another_tenants_log_is_a_gap_and_nothing_of_theirs(
    hub_with: Callable[..., Hub], tmp_path: Path
) -> None:
    broker = SQLite(tmp_path)
    hub_with(broker_url=broker.url, namespace="mine")
    theirs = End(broker.log("theirs"))
    try:
        wait_until_open(theirs)
        nitro.connect_broker()
        for n in range(3):
            theirs.publish(b'"theirs, %d"' % n, "user.8.note")
            emit("user.8.note", result=f"mine, {n}")
        eventually(lambda: len(theirs.heard.messages) == 3, "theirs has all")
        eventually(lambda: "-3." in nitro.position(), "mine has all")
        with Bystander() as bystander:
            for message in theirs.heard.messages:
                found = asyncio.run(heard_with(str(message.id)))
                assert found == ["epoch", "live"]
            theirs.publish(b'"theirs, live"', "user.8.note")
            theirs.flush()
            bystander.lives_on(*["live"] * 3)
    finally:
        theirs.broker.close(1)


def heard_with_the_id_of_another_user() -> list[Any]:
    """What user 8 hears who comes with the id of a message that only user 7 got."""
    heard: list[Any] = []

    async def scenario() -> None:
        with Client(topics=ANY, allowed=["user.7.*"], user_id="7") as theirs:
            for topic in ("user.7.note", "user.8.note", "user.7.note"):
                emit(topic, result=f"of {topic}")
            first = await anext(theirs.messages())
        heard.extend(await heard_with(str(first.id), topics=ANY, allowed=["user.8.*"], user_id="8"))

    run(scenario)
    return heard


EMITTED = ["of user.7.note", "of user.8.note", "of user.7.note", "live"]


@pytest.mark.bad_input(31)
def test_an_id_of_another_user_brings_nothing_of_theirs(bystander: Bystander) -> None:
    heard = heard_with_the_id_of_another_user()
    assert "of user.7.note" not in heard
    assert heard[-1] == "live"
    bystander.lives_on(*EMITTED)
