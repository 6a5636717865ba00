"""Wire formats beyond the plain one: the envelope, for the browser client, and text, for pages that swap HTML.

In the envelope each event's data begins with a line that holds its topic, and the stream's own notices are events with
the topic `nitro.stream`: a native `EventSource` hides comments, `retry` and a lone `id` from the page, and delivers
named events only to listeners for that name.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import from_json, to_json

from nitro.delivery.frame import control_frame, encode_event, event_name, room_event
from nitro.messages.message import Gap, Message, Position

__all__ = ["envelope", "stream_event", "text", "text_named"]

_STREAM: Final = b"nitro.stream"


def envelope(content: Message | Gap | Position | None) -> bytes:
    """The topic on the first line, JSON from the second on; a heartbeat is a `nitro.stream` event."""
    if isinstance(content, Message):
        return encode_event(b"%b\n%b" % (content.topic.encode(), content.payload), id=content.id)
    return control_frame(content) if isinstance(content, Gap) else stream_event(content)


def stream_event(position: Position | None = None, **fields: Any) -> bytes:
    """A `nitro.stream` event: `retry` in milliseconds, `heartbeat` in seconds, `stop`, and the fields of `greeting_of`;
    without any, a heartbeat.
    """
    return encode_event(b"%b\n%b" % (_STREAM, to_json(fields)), id=None if position is None else str(position))


def text(content: Message | Gap | Position | None) -> bytes:
    """As `unnamed`, but a string is sent as it is, without quotes and escapes; mostly HTML."""
    return _text(content, room_event(content.topic) if isinstance(content, Message) else None)


def text_named(content: Message | Gap | Position | None) -> bytes:
    """As `text`, with the topic as the event's name."""
    return _text(content, event_name(content.topic)) if isinstance(content, Message) else control_frame(content)


def _text(content: Message | Gap | Position | None, event: str | None) -> bytes:
    if not isinstance(content, Message):
        return control_frame(content)
    data = content.payload
    if data.startswith(b'"'):
        data = from_json(data).encode(errors="replace")
    return encode_event(data, id=content.id, event=event)
