"""Line ends and escapes where none belong: in headers, and in what is told to people."""

from __future__ import annotations

import logging

import pytest

from nitro import Client, EventSourceResponse, emit
from nitro.delivery.hub import Hub
from nitro.errors import AccessDenied, InvalidField, InvalidTopic


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x=1", "a\nb", "a\rb", "a\0b"])
def test_header_injection_a_line_end_in_a_header_is_refused(hub: Hub, value: str) -> None:
    for headers in ({"x-name": value}, {f"x-{value}": "a"}):
        with pytest.raises(InvalidField, match="CR, LF or NUL"):
            EventSourceResponse(Client(topics=["a"]), headers=headers)


HOSTILE = "a\r\n2026-01-01 CRITICAL everything is lost\x1b[31m\u202e"


def test_log_injection_what_strangers_send_is_escaped_wherever_it_is_told(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client = Client(client_id=HOSTILE, topics=["t"], max_messages=1, user_id=HOSTILE, last_event_id=HOSTILE)
        with client:
            for n in range(5):
                emit("t", HOSTILE, result=n)
        texts = [record.getMessage() for record in caplog.records] + [repr(client)]
        for topics in ([HOSTILE], {HOSTILE: ["x"]}):
            with pytest.raises(InvalidTopic) as refusal:
                Client(topics=topics)
            texts.append(str(refusal.value))
        with pytest.raises(AccessDenied) as denied:
            Client(topics={"secret": [HOSTILE]}, allowed=["t"])
        texts.append(str(denied.value))
    assert len(texts) > 4
    for text in texts:
        assert text.isprintable(), text
        assert "\u202e" not in text
