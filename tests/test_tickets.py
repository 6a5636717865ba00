"""Tickets: for whom they are, for how long, and by whose clock."""

from __future__ import annotations

import hashlib
import math
import time
from typing import Any

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from nitro import Client, EventSourceResponse, Grant, disconnect_user, event_stream
from nitro.errors import ConfigurationError
from nitro.tickets import Tickets
from tests.cases import shown
from tests.clients import wait_until_rights_count

SECRET = "a secret of the tests, which is long enough"
GRANT = Grant(["todo.*"], user_id=7)


def written_at(seconds_ahead: int, fields: Any = ({"todo.*": None}, {}, "7", None, 60), *, of: str = ":nitro") -> str:
    """What a host with the same secret signs, whose clock is so many seconds ahead."""

    class Signer(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) + seconds_ahead

    keywords = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    serializer = URLSafeTimedSerializer(SECRET, salt=f"nitro.ticket{of}", signer=Signer, signer_kwargs=keywords)
    return str(serializer.dumps(fields))


class Request:
    def __init__(self) -> None:
        self.scope = {"query_string": b""}


def wait_for_a_young_second() -> None:
    """Tickets know whole seconds: what follows at once is in the same one."""
    while time.time() % 1 > 0.3:
        time.sleep(0.01)


# --- for whom


def test_a_ticket_is_read_for_its_audience_alone() -> None:
    audiences = [Tickets(SECRET), *(Tickets(SECRET, audience=name) for name in ("chat", "chat "))]
    for issuing in audiences:
        ticket = issuing.issue(GRANT)
        assert [reading.read(ticket) for reading in audiences] == [
            GRANT if reading is issuing else None for reading in audiences
        ]
    assert Tickets(["an older secret, long enough", SECRET], audience="chat").read(audiences[1].issue(GRANT)) == GRANT


@pytest.mark.parametrize("wrong", ["", None, 7, b"chat", "a\nb", "\ud800"], ids=shown)
def test_an_audience_is_a_name(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="audience is a name"):
        Tickets(SECRET, audience=wrong)


@pytest.mark.parametrize("of", ["", ":nitro"])
def test_a_ticket_without_a_time_of_its_own_is_refused(of: str) -> None:
    assert Tickets(SECRET).read(written_at(0)) == GRANT
    assert Tickets(SECRET).read(written_at(0, ({"todo.*": None}, {}, "7", None), of=of)) is None


# --- for how long


def test_a_ticket_opens_until_the_sooner_of_its_own_end_and_the_readers() -> None:
    short, usual = Tickets(SECRET, seconds=10), Tickets(SECRET, seconds=60)
    fields: tuple[Any, ...] = ({"todo.*": None}, {}, "7", None)
    for age, seconds, by_short, by_usual in (
        (5, 60, True, True),
        (12, 60, False, True),
        (5, 3, False, False),
        (58, 60, False, True),
        (62, 60, False, False),
        (62, 3600, False, False),
        (0, 0, True, True),
        (0, -1, False, False),
    ):
        wait_for_a_young_second()
        ticket = written_at(-age, (*fields, seconds))
        opens = [tickets.read(ticket) is not None for tickets in (short, usual)]
        assert opens == [by_short, by_usual], (age, seconds)


def test_a_ticket_may_be_issued_for_less() -> None:
    tickets = Tickets(SECRET, seconds=60)
    shorter, usual = tickets.issue(GRANT, seconds=1), tickets.issue(GRANT)
    assert tickets.read(shorter) == tickets.read(usual) == GRANT
    deadline = time.monotonic() + 5
    while tickets.read(shorter) is not None:
        assert time.monotonic() < deadline, "it is never too old"
        time.sleep(0.05)
    assert tickets.read(usual) == GRANT
    assert tickets.read(tickets.issue(GRANT, seconds=60)) == GRANT


@pytest.mark.parametrize("wrong", [0, -1, 61, 3600, 1.5, True, "1", float("nan")], ids=shown)
def test_what_a_ticket_is_issued_for_is_no_more_than_the_others(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="from 1 to 60"):
        Tickets(SECRET, seconds=60).issue(GRANT, seconds=wrong)


# --- by whose clock


def test_a_ticket_from_a_clock_that_is_ahead_opens_up_to_five_seconds() -> None:
    opens = {}
    for ahead in (0, 1, 5, 6, 3600):
        wait_for_a_young_second()
        opens[ahead] = Tickets(SECRET).read(written_at(ahead)) is not None
    assert opens == {0: True, 1: True, 5: True, 6: False, 3600: False}


def test_rights_are_never_from_the_future_but_as_old_as_the_ticket_may_be() -> None:
    for ahead, youngest, oldest in ((-30, 30, 31), (0, 0, 1), (1, 3.9, 5), (5, 0, 1)):
        wait_for_a_young_second()
        grant = Tickets(SECRET).read(written_at(ahead))
        now = time.monotonic()
        assert grant is not None
        assert grant.read_at <= now
        assert youngest <= now - grant.read_at <= oldest + 0.5, ahead


@pytest.mark.usefixtures("hub")
def test_a_ticket_from_a_clock_that_is_ahead_does_not_outlive_a_dismissal() -> None:
    """It was issued before the dismissal, by a clock for which that was after it."""
    ticket = written_at(4)
    disconnect_user("7")
    wait_until_rights_count("7")
    response = event_stream(Request(), Tickets(SECRET).read(ticket))
    assert isinstance(response, EventSourceResponse)
    assert isinstance(response.client, Client)
    assert not response.client.connect().is_connected


# --- since when


@pytest.mark.usefixtures("hub")
def test_a_ticket_that_is_issued_a_second_after_a_dismissal_opens_whatever_part_of_a_second_that_is() -> None:
    while not 0.5 < time.time() % 1 < 0.8:
        time.sleep(0.01)
    tickets = Tickets(SECRET)
    kept = Grant(["todo.*"], user_id=7)
    before, dismissed = tickets.issue(kept), time.monotonic()
    disconnect_user("7")
    wait_until_rights_count("7")
    for ticket, is_new in (
        (tickets.issue(Grant(["todo.*"], user_id=7)), True),
        (before, False),
        (tickets.issue(kept), False),  # its rights are from before
    ):
        grant = tickets.read(ticket)
        assert grant is not None
        assert (grant.read_at > dismissed) is is_new
        assert grant.read_at <= time.monotonic()
        response = event_stream(Request(), grant)
        assert isinstance(response, EventSourceResponse)
        assert isinstance(response.client, Client)
        with response.client as client:
            assert client.is_connected is is_new


def test_the_moment_in_a_ticket_is_a_whole_number_of_milliseconds_and_never_after_it_was_signed() -> None:
    fields: tuple[Any, ...] = ({"todo.*": None}, {}, "7", None, 60)
    now = int(time.time())
    for moment in (0, (now - 30) * 1000, now * 1000):
        grant = Tickets(SECRET).read(written_at(0, (*fields, moment)))
        assert grant is not None
        assert abs(time.monotonic() - grant.read_at - (time.time() - moment / 1000)) < 0.1
    wrong: Any
    for wrong in (
        now * 1000 + 5000,
        10**400,
        -1,
        float(now * 1000),
        math.nan,
        math.inf,
        -math.inf,
        None,
        True,
        "0",
        [],
    ):
        assert Tickets(SECRET).read(written_at(0, (*fields, wrong))) is None, wrong
    assert Tickets(SECRET).read(written_at(0, (*fields, now * 1000, 1))) is None


def test_rights_by_a_clock_that_is_ahead_are_as_old_as_they_may_be() -> None:
    fields: tuple[Any, ...] = ({"todo.*": None}, {}, "7", None, 60)
    for older, youngest in ((0, 0.9), (30, 30.9)):
        wait_for_a_young_second()
        now = time.time()
        grant = Tickets(SECRET).read(written_at(4, (*fields, int((now + 4 - older) * 1000))))
        assert grant is not None
        assert youngest <= time.monotonic() - grant.read_at <= youngest + 1.1


@pytest.mark.usefixtures("hub")
def test_a_ticket_of_an_earlier_version_opens_still() -> None:
    grant = Tickets(SECRET).read(written_at(0))
    response = event_stream(Request(), grant)
    assert isinstance(response, EventSourceResponse)
    assert isinstance(response.client, Client)
    with response.client as client:
        assert client.is_connected


@pytest.mark.parametrize("wrong", [None, "", 5, b"a.b.c", ["a.b.c"], {"a": 1}, "a.b/c", "a.b.c\n", "ä.b.c"])
def test_what_can_be_no_ticket_opens_nothing(wrong: Any) -> None:
    assert Tickets(SECRET).read(wrong) is None
