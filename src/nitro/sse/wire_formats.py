"""Wire forms beyond the plain one: in an envelope, for the browser client, and as text, for pages that swap HTML.

In the envelope each event's data begins with a line that holds its topic, and what the stream itself has to say is an
event too, of the topic `nitro.stream`: a native `EventSource` shows a page no comments, no `retry` and no lone `id`,
and hears named events only by names that it knows.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import from_json, to_json

from nitro.delivery.frame import control_frame, encode_event, event_name
from nitro.messages.message import Gap, Message, Position

__all__ = ["envelope", "stream_event", "text", "text_named"]

_STREAM: Final = b"nitro.stream"


def envelope(content: Message | Gap | Position | None) -> bytes:
    """The topic, and JSON from the second line on; a heartbeat is an event of the stream's."""
    if isinstance(content, Message):
        return encode_event(b"%b\n%b" % (content.topic.encode(), content.payload), id=content.id)
    return control_frame(content) if isinstance(content, Gap) else stream_event(content)


def stream_event(position: Position | None = None, **fields: Any) -> bytes:
    """News of the stream itself: `retry` in milliseconds, `heartbeat` in seconds, `stop`, and what `greeting_of` says;
    without any, a heartbeat.
    """
    return encode_event(b"%b\n%b" % (_STREAM, to_json(fields)), id=None if position is None else str(position))


def text(content: Message | Gap | Position | None) -> bytes:
    """As unnamed JSON, but a string as it is, without quotes and escapes: HTML, most of all."""
    return _text(content, None)


def text_named(content: Message | Gap | Position | None) -> bytes:
    """The same, with the topic as the event's name."""
    return _text(content, event_name(content.topic)) if isinstance(content, Message) else control_frame(content)


def _text(content: Message | Gap | Position | None, event: str | None) -> bytes:
    if not isinstance(content, Message):
        return control_frame(content)
    data = content.payload
    if data.startswith(b'"'):
        data = from_json(data).encode(errors="replace")
    return encode_event(data, id=content.id, event=event)
