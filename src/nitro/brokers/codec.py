r"""The wire format of a message in a shared log: a stamp, a trace context, one line of JSON, and the unchanged payload.

`~xxxxxxxx[1,"todo.created","42",null]\n{"id":42}`: a tilde and eight random bytes; the format's version, topic, sender
key, key; and two more strings and a time if it was published with an idempotency key. After a log was restored from a
backup, another entry may have the same sequence. The stamp tells the two apart: for the processes, and for clients that
resume, whose ids contain six digits of it. Other programs may write to the log, so every entry is validated before it
is delivered; the stamp may be missing.

`~xxxxxxxx^TTTTTTTTTTTTTTTTSSSSSSSSF[1,"todo.created","42",null]\n{"id":42}`: if its publishing was traced and sampled,
a circumflex and 25 bytes stand before the line: the ids of the trace and of the span, and the flags, as in
`traceparent` of W3C Trace Context, in binary. `tracestate` isn't carried. It is no part of the line, which is the same
for many entries, and is decoded once for them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from pydantic_core import from_json, to_json

from nitro import tracing
from nitro.brokers.idempotency import IdempotencyKey
from nitro.chance import CHANCE
from nitro.errors import InvalidPayload
from nitro.messages.inspection import INSPECTION
from nitro.messages.message import TRACE_BYTES, UNKNOWN_STAMP, Message, Position
from nitro.messages.presence import PRESENCE
from nitro.messages.row_changes import ROW_CHANGES
from nitro.messages.topics import check_topic
from nitro.messages.user_disconnect import USER_DISCONNECT

__all__ = [
    "BEFORE_PAYLOAD_BYTES",
    "HEAD_BYTES",
    "STAMP_BYTES",
    "Unreadable",
    "check",
    "decode",
    "encode",
    "idempotency_key_of",
    "stamp_of",
    "topic_of",
]

_VERSION: Final = 1
_TILDE: Final = ord("~")
_TRACE_END: Final = 1 + TRACE_BYTES
"""Where the first line begins behind the stamp if there is a trace context."""
STAMP_BYTES: Final = 9
"""Length of the prefix that identifies an entry."""
HEAD_BYTES: Final = 4096
"""Longest first line of a valid entry."""
_SHORT_CHARS: Final = 300
"""A sender's key and one of `latest_by` of so many characters fit into the first line, however they are escaped."""
BEFORE_PAYLOAD_BYTES: Final = STAMP_BYTES + _TRACE_END + HEAD_BYTES + 1
"""The most that a valid entry has besides its payload."""


class Unreadable(ValueError):
    """The entry may be an event, but this process can't deliver it."""


class _Head(NamedTuple):
    topic: str
    sender: str | None
    key: str | None
    idempotency_key: IdempotencyKey | None


def encode(
    topic: str, sender: str | None, payload: bytes, key: str | None, idempotency_key: IdempotencyKey | None = None
) -> bytes:
    """Encode one message as an entry, with the current trace context.

    Raises:
        InvalidPayload: the sender's key, or that of `latest_by`, is not valid text, or is too long.
    """
    try:
        head = to_json([_VERSION, topic, sender, key, *(idempotency_key or ())])
    except ValueError as error:
        raise InvalidPayload(f"the sender's key or the latest_by field of an event is no text: {error}") from error
    if len(head) > HEAD_BYTES:
        raise InvalidPayload(
            f"the sender's key and the latest_by field have {len(head)} bytes, limit {HEAD_BYTES}; use shorter ids"
        )
    stamp = CHANCE.getrandbits(64).to_bytes(8)
    trace = None if (tracer := tracing.tracer) is None else tracer.context()
    return b"~%b%b\n%b" % (stamp, head, payload) if trace is None else b"~%b^%b%b\n%b" % (stamp, trace, head, payload)


def check(topic: str, sender: str | None, key: str | None) -> None:
    """Check what `encode` would refuse, for less.

    Raises:
        InvalidPayload: as `encode`.
    """
    if (sender is not None and (len(sender) > _SHORT_CHARS or not sender.isascii())) or (
        key is not None and (len(key) > _SHORT_CHARS or not key.isascii())
    ):
        encode(topic, sender, b"", key)


def decode(body: bytes, position: Position, max_payload_bytes: int) -> Message:
    """Decode an entry.

    Raises:
        Unreadable: it exceeds this process's limit, or has another version of the format.
        ValueError: it is not a message; the text says why.
    """
    trace, head, start = _split(body)
    payload = body[start:]
    if len(payload) > max_payload_bytes:
        raise Unreadable(f"its payload has {len(payload)} bytes, and {max_payload_bytes} is the limit")
    topic, sender, key, _ = _decode_head(head)
    from_json(payload, allow_inf_nan=False)
    return Message(topic, sender, payload, position, key, trace)


def stamp_of(begin: bytes | None) -> str:
    """Six digits of the stamp of the entry with this prefix; `UNKNOWN_STAMP` if it has none."""
    return begin[1:4].hex() if begin and begin[0] == _TILDE and len(begin) >= STAMP_BYTES else UNKNOWN_STAMP


def idempotency_key_of(body: bytes) -> IdempotencyKey | None:
    """The idempotency key of an entry that `decode` accepts."""
    return _decode_head(_split(body)[1]).idempotency_key


def topic_of(body: bytes) -> str:
    """The topic of an entry that `decode` accepts."""
    return _decode_head(_split(body)[1]).topic


def _split(body: bytes) -> tuple[bytes | None, bytes, int]:
    """The trace context or None, the first line without it and the stamp, and the offset of the payload."""
    start = STAMP_BYTES if body.startswith(b"~") else 0
    trace: bytes | None = None
    if body.startswith(b"^", start):
        trace, start = body[start + 1 : start + _TRACE_END], start + _TRACE_END
        if not body.startswith(b"[", start) or not any(trace[:16]) or not any(trace[16:24]):
            raise ValueError(f"its trace context is not {TRACE_BYTES} bytes with the ids of a trace and of a span")
    end = body.find(b"\n", start)
    if not 0 <= end - start <= HEAD_BYTES:
        raise ValueError("it has no first line, or one that is too long")
    return trace, body[start:end], end + 1


@lru_cache(maxsize=4096)
def _decode_head(head: bytes) -> _Head:
    fields = from_json(head)
    if not isinstance(fields, list) or not fields:
        raise ValueError("its first line is not a list")
    version = fields[0]
    if version != _VERSION or version is True:
        raise (Unreadable if type(version) is int else ValueError)(
            f"its version is {version!r:.20}, and this process reads version {_VERSION}"
        )
    if len(fields) not in (4, 7):
        raise ValueError("its first line is not a list of four or seven items")
    _, topic, sender, key, *idempotency_key = fields
    if not isinstance(topic, str) or not isinstance(sender, str | None) or not isinstance(key, str | None):
        raise ValueError("its topic is not a string, or its sender or key is not a string or null")  # noqa: TRY004
    if idempotency_key and not (
        isinstance(idempotency_key[0], str)
        and isinstance(idempotency_key[1], str)
        and type(idempotency_key[2]) is float
    ):
        raise ValueError("its idempotency key is not two strings and a time")
    return _Head(
        topic if topic in (USER_DISCONNECT, ROW_CHANGES, PRESENCE, INSPECTION) else check_topic(topic),
        sender,
        key,
        IdempotencyKey(*idempotency_key) if idempotency_key else None,
    )
