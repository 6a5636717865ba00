"""Frames: the bytes of one server-sent event. Bytes in, bytes out, no sockets.

The format is the WHATWG HTML standard's, section 9.2.5 and 9.2.6. Each message is framed once for each wire
form, however many clients get it.
"""

from __future__ import annotations

import re
from typing import Final

from nitro.domain.message import Gap, Message, Position
from nitro.errors import InvalidField

__all__ = ["Frame", "encode_event", "encode_opening", "encode_retry"]

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


class Frame:
    """A message and its bytes on the wire, made when first asked for.

    Attributes:
        message: what it frames: a message, the news of a gap, or None, without an event (a heartbeat).
        size: bytes that it counts in a client's limit.
    """

    __slots__ = ("_named", "_unnamed", "message", "size")

    def __init__(self, message: Message | Gap) -> None:
        self.message: Message | Gap | None = message
        self.size = 0 if isinstance(message, Gap) else len(message.payload)
        self._named: bytes | None = None
        self._unnamed: bytes | None = None

    @classmethod
    def heartbeat(cls, position: Position) -> Frame:
        """A frame that keeps the line alive and moves the browser's last id on, without an event."""
        frame = cls.__new__(cls)
        frame.message = None
        frame.size = 0
        frame._named = frame._unnamed = b":\nid: %b\n\n" % str(position).encode()
        return frame

    def encode(self, *, named: bool) -> bytes:
        """The bytes: with the topic as the event's name, or without a name, so that `onmessage` hears it."""
        if named:
            if self._named is None:
                self._named = self._encode(named=True)
            return self._named
        if self._unnamed is None:
            self._unnamed = self._encode(named=False)
        return self._unnamed

    def _encode(self, *, named: bool) -> bytes:
        message = self.message
        assert message is not None  # a heartbeat has both forms from the start
        if isinstance(message, Gap):  # always named: it is no message, whatever the page listens to
            return encode_event(message.json.encode(), id=message.id, event="gap")
        return encode_event(message.payload, id=message.id, event=message.topic or None if named else None)


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
    """The field that tells a browser how long to wait before it reconnects.

    Raises:
        InvalidField: not a whole number of milliseconds, 0 or more.
    """
    if type(milliseconds) is not int or milliseconds < 0:
        raise InvalidField(f"retry is a whole number of milliseconds, 0 or more, not {milliseconds!r}")
    return b"retry: %d\n\n" % milliseconds


def encode_opening(position: Position | None, retry_milliseconds: int) -> bytes:
    """The first bytes of a stream: a comment, so that proxies pass on the head; the retry; and the id alone,
    so that a client which is cut before its first event knows where it stood. None for one that is told of a gap
    first: cut before that, it must not come back as if it knew.
    """
    opening = b":\n" + encode_retry(retry_milliseconds)
    return opening if position is None else b"%bid: %b\n\n" % (opening, str(position).encode())


def _line(text: str, field: str) -> bytes:
    for char in "\r\n\0":
        if char in text:
            raise InvalidField(f"an SSE {field} can't hold {char!r}: {text!a}")
    return text.encode()
