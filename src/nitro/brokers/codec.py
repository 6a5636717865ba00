r"""How a message is written into a log that other processes read: a stamp, one line of JSON, the payload as it is.

`~xxxxxxxx[1,"todo.created","42",null]\n{"id":42}`: a tilde and eight random bytes; the version of this format, topic,
sender key, key; and two strings and a time more where it was published with an idempotency key. By the stamp an entry
is told from another one that a log has in its place after it was put back to an earlier state: by the processes, and
by clients that come back, since their ids have six digits of it. What comes out of a log may be anybody's, so it is
checked before anything is delivered; it may be without a stamp.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Final, NamedTuple

from pydantic_core import from_json, to_json

from nitro.brokers.idempotency import IdempotencyKey
from nitro.errors import InvalidPayload
from nitro.messages.message import UNKNOWN_STAMP, Message, Position
from nitro.messages.topics import check_topic
from nitro.messages.user_disconnect import USER_DISCONNECT

__all__ = ["HEAD_BYTES", "STAMP_BYTES", "Unreadable", "decode", "encode", "idempotency_key_of", "stamp_of"]

_VERSION: Final = 1
_TILDE: Final = ord("~")
STAMP_BYTES: Final = 9
"""How much of an entry is enough to know it again."""
HEAD_BYTES: Final = 4096
"""What the first line may take at most: more is no message of ours."""


class Unreadable(ValueError):
    """It may well be an event, and this process can't hand it on."""


class _Head(NamedTuple):
    topic: str
    sender: str | None
    key: str | None
    idempotency_key: IdempotencyKey | None


def encode(
    topic: str, sender: str | None, payload: bytes, key: str | None, idempotency_key: IdempotencyKey | None = None
) -> bytes:
    """The entry of one message.

    Raises:
        InvalidPayload: the sender's key, or that of `latest_by`, can't be written, or is too long.
    """
    try:
        head = to_json([_VERSION, topic, sender, key, *(idempotency_key or ())])
    except ValueError as error:
        raise InvalidPayload(f"the sender's key or the latest_by field of an event is no text: {error}") from error
    if len(head) > HEAD_BYTES:
        raise InvalidPayload(f"the sender's key and the latest_by field have {len(head)} bytes; use shorter ids")
    return b"~%b%b\n%b" % (random.getrandbits(64).to_bytes(8), head, payload)


def decode(body: bytes, position: Position, max_payload_bytes: int) -> Message:
    """The message that an entry holds.

    Raises:
        Unreadable: it is longer than this process takes, or of another version of this format.
        ValueError: it is no message; the text says why.
    """
    head, start = _split(body)
    payload = body[start:]
    if len(payload) > max_payload_bytes:
        raise Unreadable(f"its payload has {len(payload)} bytes, and {max_payload_bytes} is the limit")
    topic, sender, key, _ = _decode_head(head)
    from_json(payload, allow_inf_nan=False)
    return Message(topic, sender, payload, position, key)


def stamp_of(begin: bytes | None) -> str:
    """Six digits of the stamp of an entry that begins so; `UNKNOWN_STAMP` if it has none."""
    return begin[1:4].hex() if begin and begin[0] == _TILDE and len(begin) >= STAMP_BYTES else UNKNOWN_STAMP


def idempotency_key_of(body: bytes) -> IdempotencyKey | None:
    """The idempotency key of an entry that `decode` has found to be a message."""
    return _decode_head(_split(body)[0]).idempotency_key


def _split(body: bytes) -> tuple[bytes, int]:
    """The first line without the stamp, and where the payload begins."""
    start = STAMP_BYTES if body.startswith(b"~") else 0
    end = body.find(b"\n", start)
    if not 0 <= end - start <= HEAD_BYTES:
        raise ValueError("it has no first line of ours")
    return body[start:end], end + 1


@lru_cache(maxsize=4096)
def _decode_head(head: bytes) -> _Head:
    fields = from_json(head)
    if not isinstance(fields, list) or not fields:
        raise ValueError("its first line is no list")
    version = fields[0]
    if version != _VERSION or version is True:
        raise (Unreadable if type(version) is int else ValueError)(
            f"its version is {version!r:.20}, and this is {_VERSION}"
        )
    if len(fields) not in (4, 7):
        raise ValueError("its first line is not a list of four or seven")
    _, topic, sender, key, *idempotency_key = fields
    if not isinstance(topic, str) or not isinstance(sender, str | None) or not isinstance(key, str | None):
        raise ValueError("its topic is a string, its sender and key are strings or null")  # noqa: TRY004
    if idempotency_key and not (
        isinstance(idempotency_key[0], str)
        and isinstance(idempotency_key[1], str)
        and type(idempotency_key[2]) is float
    ):
        raise ValueError("its idempotency key is two strings and a time")
    return _Head(
        topic if topic == USER_DISCONNECT else check_topic(topic),
        sender,
        key,
        IdempotencyKey(*idempotency_key) if idempotency_key else None,
    )
