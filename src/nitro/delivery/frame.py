"""Frames: the bytes of one server-sent event. Bytes in, bytes out, no sockets.

The format is that of the WHATWG HTML standard, sections 9.2.5 and 9.2.6. Each message is framed once for each wire
format, however many clients get it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from nitro.errors import InvalidField
from nitro.messages.message import Gap, Message, Position
from nitro.messages.topics import PRESENCE_OF

__all__ = [
    "LONGEST_RETRY",
    "ROOM_EVENT",
    "Beat",
    "Frame",
    "WireFormat",
    "control_frame",
    "encode_event",
    "encode_opening",
    "encode_retry",
    "event_name",
    "named",
    "room_event",
    "unnamed",
]

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")

WireFormat = Callable[[Message | Gap | Position | None], bytes]
"""Encodes one frame: a message, a gap, or a heartbeat with the stream's current position. None is a heartbeat for
clients that know their position."""

_NOT_YET: Final = (None, b"")
_TAKEN: Final = frozenset({"error", "gap", "message", "open"})
"""Names of events that an `EventSource` dispatches itself, and that of a gap."""
ROOM_EVENT: Final = "nitro.presence"
LONGEST_RETRY: Final = 2**31 - 1
"""In milliseconds: the longest time that a browser's timer takes."""


class Frame:
    """A message and its bytes on the wire, made when first asked for.

    Attributes:
        message: what it frames: a message, a gap, or None (a heartbeat).
        size: how many bytes it counts in a client's limit.
    """

    __slots__ = ("_encoded", "message", "size")

    def __init__(self, message: Message | Gap | None) -> None:
        self.message: Message | Gap | None = message
        self.size: int = len(message.payload) if isinstance(message, Message) else 0
        self._encoded: tuple[WireFormat | None, bytes] = _NOT_YET

    def encode(self, wire_format: WireFormat) -> bytes:
        """The bytes in that wire format; cached for the format that was used last."""
        last, encoded = self._encoded  # one value, since other loops may read it, too
        if last is not wire_format:
            encoded = wire_format(self._content())
            self._encoded = (wire_format, encoded)
        return encoded

    @property
    def position(self) -> Position | None:
        """The position of a client that has received it; None if it is for one client alone."""
        content = self.message
        if content is None:
            return None
        return content.resumed_at if isinstance(content, Gap) else content.position

    def _content(self) -> Message | Gap | Position | None:
        return self.message


class Beat(Frame):
    """A heartbeat: keeps the connection alive without a message, and updates the browser's last event id.

    Args:
        is_known: whether its readers have that id already. Then it is left out, since some clients take an id without
            data for a message.
    """

    __slots__ = ("_is_known", "_position")

    def __init__(self, position: Position, *, is_known: bool) -> None:
        self.message: Message | Gap | None = None
        self.size = 0
        self._encoded = _NOT_YET
        self._position = position
        self._is_known = is_known

    @property
    def position(self) -> Position:
        return self._position

    def _content(self) -> Position | None:
        return None if self._is_known else self._position


def unnamed(content: Message | Gap | Position | None) -> bytes:
    """JSON as the data, and no name, so that `onmessage` hears it; but who is in a room is `nitro.presence`."""
    if isinstance(content, Message):
        return encode_event(content.payload, id=content.id, event=room_event(content.topic))
    return control_frame(content)


def named(content: Message | Gap | Position | None) -> bytes:
    """JSON as the data, and the topic as the event's name (`event_name`), for `addEventListener`."""
    if isinstance(content, Message):
        return encode_event(content.payload, id=content.id, event=event_name(content.topic))
    return control_frame(content)


def room_event(topic: str) -> str | None:
    """The event's name if it tells who is in a room, so that no `onmessage` takes it for one of the application's."""
    return ROOM_EVENT if topic.startswith(PRESENCE_OF) else None


def event_name(topic: str) -> str | None:
    """The event's name for a topic: the topic, but `.gap`, `.error`, `.open` and `.message` for the topics that a page
    would take for a gap or for the browser's own events. No topic begins with a dot, so no other has this name. Who is
    in a room is `nitro.presence` for all rooms.
    """
    if topic.startswith(PRESENCE_OF):
        return ROOM_EVENT
    return f".{topic}" if topic in _TAKEN else topic or None


def control_frame(content: Gap | Position | None) -> bytes:
    """A gap or a heartbeat as bytes. A gap has an event name in every wire format. A heartbeat is no event: it is a
    comment line, followed by the id if that has changed. Only the id needs the blank line that ends an event.
    """
    if isinstance(content, Gap):
        return encode_event(content.json.encode(), id=content.id, event="gap")
    return b":\n" if content is None else b":\nid: %b\n\n" % str(content).encode()


def encode_event(data: bytes, *, id: str | None = None, event: str | None = None) -> bytes:
    r"""One event as bytes. `data` is split at `\r\n`, `\r` and `\n`, and at nothing else.

    Raises:
        InvalidField: `id` or `event` holds CR, LF or NUL, or `id` is not ASCII.
    """
    head = b""
    if id is not None:
        if not id.isascii():
            raise InvalidField(f"an SSE id is ASCII, not {id!a}")
        head = b"id: %b\n" % _line(id, "id")
    if event is not None:
        head += b"event: %b\n" % _line(event, "event")
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"%bdata: %b\n\n" % (head, data)


def encode_retry(milliseconds: int) -> bytes:
    """The field that tells a browser how long to wait before it reconnects. It takes effect at the end of its line.

    Raises:
        InvalidField: it is no whole number of milliseconds from 0 to `LONGEST_RETRY`.
    """
    if type(milliseconds) is not int or milliseconds < 0:
        raise InvalidField(f"retry is a whole number of milliseconds, 0 or more, not {milliseconds!r}")
    if milliseconds > LONGEST_RETRY:
        raise InvalidField(
            f"retry is a whole number of milliseconds, at most {LONGEST_RETRY}, and not longer than that"
        )
    return b"retry: %d\n" % milliseconds


def encode_opening(position: Position | None, retry_milliseconds: int) -> bytes:
    """The first bytes of a stream: a comment, so that proxies pass on the head; the retry; and the id without data,
    so that a client which is cut before its first event can resume. `position` is None if the client gets a gap first:
    if it is cut before that, it must not resume as if it had missed nothing.

    They are one write of less than 512 bytes, since some proxies hold back a longer first write to compress it.
    """
    opening = b":\n" + encode_retry(retry_milliseconds)
    return opening if position is None else b"%bid: %b\n\n" % (opening, str(position).encode())


def _line(text: str, field: str) -> bytes:
    for char in "\r\n\0":
        if char in text:
            raise InvalidField(f"an SSE {field} can't hold {char!r}: {text!a}")
    return text.encode()
