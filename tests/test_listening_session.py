"""What a listener decides: when it waits for how long, what it takes for known, and when there is no hope. No I/O."""

from __future__ import annotations

import re

import pytest

from nitro.client.ids import is_known, is_known_item, is_one_log
from nitro.client.session import Session
from nitro.errors import StreamRefused
from nitro.messages.heard import Heard
from nitro.messages.message import Gap, Position

GREETING = 'nitro.stream\n{"retry":1000,"heartbeat":6.0}'


def opened(last_event_id: str = "", greeting: str = GREETING, random: float = 1.0) -> Session:
    session = Session(None, last_event_id, random=lambda: random)
    session.begin({})
    session.hear("message", greeting, last_event_id)
    return session


def test_the_wait_doubles_up_to_half_a_minute_and_begins_anew_behind_a_greeting() -> None:
    session = Session(None, random=lambda: 1.0)
    assert [session.wait_seconds() for _ in range(6)] == [2, 4, 8, 16, 30, 30]
    session.begin({})
    session.hear("message", GREETING, "")
    assert [session.wait_seconds() for _ in range(3)] == [1, 2, 4]


def test_the_wait_is_anything_between_nothing_and_its_limit() -> None:
    assert opened(random=0.0).wait_seconds() == 0
    assert opened(random=0.25).wait_seconds() == 0.25
    waits = {Session(None).wait_seconds() for _ in range(20)}
    assert len(waits) == 20
    assert all(0 <= wait <= 2 for wait in waits)


def test_the_server_that_ends_a_stream_says_how_long_to_wait_and_that_holds_once() -> None:
    session = opened()
    session.hear("message", 'nitro.stream\n{"retry":1234}', "")
    assert session.wait_seconds() == 1.234
    session.begin({})
    assert session.wait_seconds() == 2


def test_retry_after_is_waited_for_at_least() -> None:
    session = opened(random=0.0)
    assert session.wait_seconds(session.refusal(503, "7", b"")) == 7
    assert session.wait_seconds(session.refusal(503, "99999", b"")) == 3600
    assert session.wait_seconds(session.refusal(503, "Wed, 21 Oct 2026 07:28:00 GMT", b"")) == 0


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_some_answers_are_others_the_next_time(status: int) -> None:
    session = Session(None)
    assert session.wait_seconds(session.refusal(status, "", b"")) <= 2


@pytest.mark.parametrize("status", [200, 404, 421])
def test_what_a_proxy_answers_is_passing_only_once_a_stream_was_open(status: int) -> None:
    session = Session(None)
    with pytest.raises(StreamRefused):
        session.wait_seconds(session.refusal(status, "", b""))
    session = opened()
    assert session.wait_seconds(session.refusal(status, "", b"")) == 1


@pytest.mark.parametrize("status", [204, 400, 401, 403, 410, 414, 419, 422])
def test_the_others_are_final_also_behind_an_open_stream(status: int) -> None:
    session = opened()
    with pytest.raises(StreamRefused) as raised:
        session.wait_seconds(session.refusal(status, "", b"no json"))
    assert raised.value.status == status
    assert raised.value.reason


def test_silence_is_two_and_a_half_heartbeats_once_they_are_known() -> None:
    session = Session(None)
    assert session.silence_seconds == 20
    session.begin({})
    session.hear("message", GREETING, "")
    assert session.silence_seconds == 15
    session.begin({})
    assert session.silence_seconds == 20


def test_what_is_known_is_not_heard_twice() -> None:
    session = opened("a-9.000000")
    assert session.hear("message", "t.n\n1", "a-8.ffffff") is None
    assert session.hear("message", "t.n\n1", "a-9.000000") is None
    assert session.hear("message", "t.n\n2", "a-10.000000") == Heard("t.n", 2, "a-10.000000")
    assert session.hear("message", "t.n\n2", "a-10.000000") is None
    assert session.last_event_id == "a-10.000000"


def test_rows_of_a_live_query_have_the_same_id_and_are_all_heard() -> None:
    session = opened()
    assert [session.hear("message", f"rows\n{n}", "snapshot-0") for n in (1, 2)] == [
        Heard("rows", 1, "snapshot-0"),
        Heard("rows", 2, "snapshot-0"),
    ]
    assert session.hear("message", "rows\n3", "a-1") == Heard("rows", 3, "a-1")


def test_an_item_of_a_run_has_an_id_of_its_own_and_is_not_heard_twice() -> None:
    session = opened()
    first, third = "00000000000002", "00000000000002.000001"
    assert session.hear("message", '{"n":0}', first) == Heard("", {"n": 0}, first)
    assert session.hear("message", '{"n":1}', third) == Heard("", {"n": 1}, third)
    assert session.begin({})[1]["Last-Event-ID"] == third
    session.hear("message", GREETING, "")
    assert session.hear("message", '{"n":1}', third) is None
    assert session.hear("message", '{"n":2}', "00000000000003") == Heard("", {"n": 2}, "00000000000003")
    assert session.hear("end", '{"state":"done"}', "00000000000003") == Heard("", {"state": "done"}, None)
    assert session.is_over


def test_an_id_of_any_form_is_resumed_from_and_one_that_is_anothers_is_not() -> None:
    session = opened()
    assert session.hear("message", "1", "any form") == Heard("", 1, "any form")
    assert session.last_event_id == "any form"
    session = opened()
    session.hear("message", "t.n\n1", "a-1")
    assert session.hear("message", "2", "a-1") == Heard("", 2, None)  # sent to this client alone
    assert not session.is_over


def test_a_run_that_is_no_longer_kept_is_not_asked_for_again() -> None:
    session = opened()
    session.hear("message", "1", "00000000000002")
    with pytest.raises(StreamRefused):
        session.wait_seconds(session.refusal(404, "", b""))


def test_a_heartbeat_moves_the_id_forward_alone_and_one_of_another_log_is_a_gap() -> None:
    session = opened("a-5")
    assert session.hear("message", "nitro.stream\n{}", "a-7") is None
    assert session.hear("message", "nitro.stream\n{}", "a-6") is None
    assert session.last_event_id == "a-7"
    assert session.hear("message", "nitro.stream\n{}", "b-1") == Gap("epoch", Position("b", 1))
    assert session.last_event_id == "b-1"


def test_a_gap_is_told_to_those_who_had_a_place() -> None:
    gap = '{"reason":"expired","resumed_at":"a-7"}'
    assert opened("a-5").hear("gap", gap, "a-7") == Gap("expired", Position("a", 7))
    assert opened("a-7").hear("gap", gap, "a-7") is None
    beginner = opened()
    assert beginner.hear("gap", gap, "a-7") is None
    assert beginner.last_event_id == "a-7"


def test_data_that_is_no_json_is_text() -> None:
    session = opened()
    assert session.hear("message", "t.n\n<p>\n</p>", "a-1") == Heard("t.n", "<p>\n</p>", "a-1")


@pytest.mark.parametrize("notice", ["nitro.stream\n[", "nitro.stream\n[]", "t.n\n1", '{"n":1}'])
def test_what_does_not_begin_with_a_greeting_is_no_stream_of_nitros(notice: str) -> None:
    session = Session(None)
    session.begin({})
    with pytest.raises(StreamRefused, match="EventSourceResponse"):
        session.hear("message", notice, "")


def test_a_request_has_the_id_in_a_header_and_the_topics_in_the_url() -> None:
    session = Session(["todo.*", "chat.*"], "a-5")
    parameters, headers = session.begin({"Authorization": "mine", "Last-Event-ID": "not mine"})
    assert parameters == [("envelope", "1"), ("topic", "todo.*"), ("topic", "chat.*")]
    assert headers["Authorization"] == "mine"
    assert headers["Last-Event-ID"] == "a-5"
    assert "Last-Event-ID" not in Session(None).begin({})[1]


def test_topics_that_no_url_holds_are_whole_in_headers_and_have_to_be_counted_by_the_server() -> None:
    topics = [f"todo.{n:0240}" for n in range(40)]
    session = Session(topics)
    parameters, headers = session.begin({})
    parcels = [value for name, value in headers.items() if re.match(r"Nitro-Topics-\d", name)]
    assert parameters == [("envelope", "1")]
    assert ",".join(parcels).split(",") == topics
    assert max(map(len, parcels)) <= 4000
    with pytest.raises(StreamRefused, match="requested_topics"):
        session.hear("message", GREETING, "")
    session.hear("message", 'nitro.stream\n{"retry":1000,"heartbeat":6.0,"topics":40}', "")


def test_ids_are_compared_by_the_length_of_their_numbers_first() -> None:
    assert is_known("a-9", "a-10")
    assert not is_known("a-10", "a-9")
    assert not is_known("b-1", "a-9")
    assert not is_known("snapshot-0", "snapshot-0")
    assert is_known_item("00000000000002", "00000000000002.000001")
    assert not is_known_item("00000000000003", "00000000000002.000001")
    assert not is_known_item("b", "c")
    assert is_one_log("a-1", "snapshot-1")
    assert not is_one_log("a-1", "b-1")
