"""Frames: whatever is put into an event, a browser reads one event, and in it what was put in."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json, to_json

from nitro.datastar.wire_format import datastar
from nitro.delivery.frame import WireFormat, encode_event, encode_opening, named, unnamed
from nitro.errors import InvalidField, InvalidTopic
from nitro.messages.message import Gap, Message, Position
from nitro.messages.topics import check_topic
from nitro.sse.wire_formats import envelope, text_named
from nitro.sse.wire_formats import text as text_form
from tests.fuzzing.standard import Event, Reading, read, with_line_ends_of_a_browser
from tests.fuzzing.supply import Supply, text

_BEFORE = "before-1"
"""The id that the browser has already."""
_PROBE = b"data: probe\n\n"
_FORMATS: tuple[WireFormat, ...] = (unnamed, named, envelope, text_form, text_named, datastar)
_PATCHES = ("datastar-patch-elements", "datastar-patch-signals")


def frame(data: bytes) -> None:
    """Options, then an id, a topic and a payload, each as it is."""
    supply = Supply(data)
    options = supply.byte()
    id_bytes, name_bytes, payload = supply.texts(3)
    id_, name = text(id_bytes), text(name_bytes)
    _check_event(payload, None if options & 1 else id_, None if options & 2 else name)
    position = Position.parse(id_)
    if position is not None:
        _check_asides(position, options)
    try:
        topic = check_topic(name)
    except InvalidTopic:
        topic = ""  # as of what is sent to one client alone
    for content in (payload, to_json(text(payload))):
        message = Message(topic, "a sender", content, position)
        for form in _FORMATS:
            if form in (unnamed, named, envelope) or _is_json(content):
                _check_message(form, message)


def _check_event(payload: bytes, id_: str | None, name: str | None) -> None:
    can_be_sent = not any(char in (id_ or "") + (name or "") for char in "\r\n\0") and (id_ or "").isascii()
    try:
        sent = encode_event(payload, id=id_, event=name)
    except InvalidField:
        assert not can_be_sent, "refused without a reason"
        return
    assert can_be_sent
    last_id = _BEFORE if id_ is None else id_
    expected = Event(name or "message", with_line_ends_of_a_browser(text(payload)), last_id)
    assert _alone(sent).events == [expected]


def _check_message(form: WireFormat, message: Message) -> None:
    kind = message.topic if form in (named, text_named) else ""
    if kind in ("gap", "error", "open", "message"):
        kind = "." + kind
    data = text(message.payload)
    if form is envelope:
        data = f"{message.topic}\n{data}"
    elif form in (text_form, text_named) and message.payload.startswith(b'"'):
        data = _utf8(json.loads(message.payload))
    elif form is datastar and message.payload.startswith(b'{"datastar":true,"datastar":"'):
        patch = json.loads(message.payload)
        if patch["datastar"] in _PATCHES and isinstance(patch.get("lines"), list):
            kind, data = patch["datastar"], _utf8("\n".join(map(str, patch["lines"])))
    last_id = _BEFORE if message.id is None else message.id
    expected = Event(kind or "message", with_line_ends_of_a_browser(data), last_id)
    assert _alone(form(message)).events == [expected], f"in the form {form.__name__}"


def _check_asides(position: Position, options: int) -> None:
    """A gap is one event, a heartbeat and the opening are none, but for the stream's own in an envelope."""
    gap = Gap("expired", position)
    for form in _FORMATS:
        (event,) = _alone(form(gap)).events
        assert (event.type, event.last_id) == ("gap", str(position))
        assert json.loads(event.data) == {"reason": "expired", "resumed_at": str(position)}
        beat = _alone(form(position))
        assert beat.events == ([Event("message", "nitro.stream\n{}", str(position))] if form is envelope else [])
        assert beat.last_id == str(position)
    opening = _alone(encode_opening(position, options))
    assert (opening.events, opening.last_id, opening.retry) == ([], str(position), options)


def _alone(sent: bytes) -> Reading:
    """What a browser reads of it, after which the next event is whole."""
    reading = read(sent, _BEFORE)
    assert reading.is_between_events
    with_next = read(sent + _PROBE, _BEFORE)
    assert with_next.events == [*reading.events, Event("message", "probe", reading.last_id)]
    return reading


def _is_json(content: bytes) -> bool:
    """Whether it may be a payload: nothing else gets through `emit`, or out of a log."""
    try:
        from_json(content, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _utf8(value: Any) -> str:
    return str(value).encode(errors="replace").decode()
