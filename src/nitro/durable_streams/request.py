"""Requests: what headers, queries and bodies ask for, as the types that decisions are made of.

Fed by the app. What can't be understood is an `InvalidRequest`, whose text names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from nitro.durable_streams.paths import InvalidRequest, UnknownSource, source_of
from nitro.errors import PayloadTooLarge
from nitro.streams.decisions import Append, Batch, Creation
from nitro.streams.offsets import BEGINNING, Offset, parse

__all__ = [
    "Live",
    "Reading",
    "append_of",
    "body_of",
    "creation_of",
    "fork_of",
    "is_closing",
    "reading_of",
]

_MAX_VALUE_CHARACTERS: Final = 256
_MAX_WHOLE: Final = 2**53 - 1
_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_CONTENT_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~\w-]+/[!#$%&'*+.^_`|~\w-]+[ \t]*(;[ -~\t]*)?", re.ASCII)
_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_BEGINNINGS: Final = frozenset({"-1", "0000000000000000_0000000000000000"})
"""The sentinel of the protocol, and the first offset of its reference server, which its clients and tests may send."""

Live = Literal["long-poll", "sse"]
_LIVES: Final[dict[str, Live]] = {"long-poll": "long-poll", "sse": "sse"}


class Reading(NamedTuple):
    """What is to be read.

    Attributes:
        offset: behind this place; None is the end.
        live: whether to wait for more, and how.
        cursor: the one that the client had last.
    """

    offset: Offset | None
    live: Live | None
    cursor: str | None


class Source(NamedTuple):
    """Where a fork is to leave its source.

    Attributes:
        path: of the source, within the mount.
        offset: None is its end.
        sub_offset: messages or bytes behind that place.
    """

    path: str
    offset: Offset | None
    sub_offset: int


def reading_of(scope: Scope) -> Reading:
    """What a GET wants."""
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    values = {name: _once(f"the parameter {name!r}", (v for n, v in query if n == name)) for name in ("offset", "live")}
    given, kind = values["offset"], values["live"]
    live = None if kind is None else _LIVES.get(kind)
    if kind is not None and live is None:
        raise InvalidRequest("the parameter 'live' is 'long-poll' or 'sse'")
    if live is not None and given is None:
        raise InvalidRequest(f"live={live} needs an offset: -1 for the beginning, now for the end, or one from before")
    cursor = next((value for name, value in query if name == "cursor"), None)
    if given == "now":
        return Reading(None, live, cursor)
    return Reading(BEGINNING if given is None else _offset("the parameter 'offset'", given), live, cursor)


def is_closing(headers: Headers) -> bool:
    """Whether `Stream-Closed: true` is there; any other value is as none."""
    return any(value.strip().lower() == "true" for value in headers.getlist("stream-closed"))


def creation_of(headers: Headers) -> Creation:
    """What a PUT wants, without its items and its fork."""
    ttl, expires = _one(headers, "stream-ttl"), _one(headers, "stream-expires-at")
    if ttl is not None and expires is not None:
        raise InvalidRequest("Stream-TTL and Stream-Expires-At are both there: only one of them can count")
    return Creation(
        content_type=_content_type(headers),
        ttl_seconds=None if ttl is None else _whole("Stream-TTL", ttl),
        expires_at=None if expires is None else _moment(expires),
        expires_text=expires,
        is_closed=is_closing(headers),
    )


def fork_of(headers: Headers, scope: Scope) -> Source | None:
    """Where a PUT that forks leaves its source; None for any other.

    Raises:
        UnknownSource: the source is no stream of this application.
    """
    url_path, offset = _one(headers, "stream-forked-from"), _one(headers, "stream-fork-offset")
    sub_offset = _one(headers, "stream-fork-sub-offset")
    if url_path is None:
        if offset is not None or sub_offset is not None:
            raise InvalidRequest("Stream-Fork-Offset and Stream-Fork-Sub-Offset need Stream-Forked-From")
        return None
    place = None if offset is None else _offset("Stream-Fork-Offset", offset)
    path = source_of(scope, url_path)
    if path is None:
        raise UnknownSource(f"Stream-Forked-From {url_path!r} is not the path of a stream of this server")
    return Source(path, place, 0 if sub_offset is None else _whole("Stream-Fork-Sub-Offset", sub_offset))


def append_of(headers: Headers) -> Append:
    """What a POST wants, without its items."""
    seq = _one(headers, "stream-seq")
    if seq is not None and not 0 < len(seq) <= _MAX_VALUE_CHARACTERS:
        raise InvalidRequest(f"Stream-Seq has 1 to {_MAX_VALUE_CHARACTERS} characters")
    producer, epoch, number = (_one(headers, f"producer-{name}") for name in ("id", "epoch", "seq"))
    batch = None
    if producer is not None and epoch is not None and number is not None:
        if not 0 < len(producer) <= _MAX_VALUE_CHARACTERS:
            raise InvalidRequest(f"Producer-Id has 1 to {_MAX_VALUE_CHARACTERS} characters")
        batch = Batch(producer, _whole("Producer-Epoch", epoch), _whole("Producer-Seq", number))
    elif (producer, epoch, number) != (None, None, None):
        raise InvalidRequest("Producer-Id, Producer-Epoch and Producer-Seq belong together: all of them, or none")
    return Append(content_type=_content_type(headers), seq=seq, batch=batch, closes=is_closing(headers))


async def body_of(request: Request, max_bytes: int) -> bytes:
    """The body, which is no longer read once it is too long.

    Raises:
        PayloadTooLarge: it is longer than `max_bytes`.
        ClientDisconnect: the client has gone before all of it was here.
    """
    length = request.headers.get("content-length", "")
    if len(length) > len(str(max_bytes)) or (length.isdecimal() and int(length) > max_bytes):
        raise PayloadTooLarge(f"the body is longer than {max_bytes:,} bytes")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise PayloadTooLarge(f"the body is longer than {max_bytes:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _one(headers: Headers, name: str) -> str | None:
    return _once(f"the header {name.title()}", headers.getlist(name))


def _once(what: str, values: Iterable[str]) -> str | None:
    found = list(values)
    if len(found) > 1:
        raise InvalidRequest(f"{what} is there {len(found)} times, and can be there once")
    return found[0] if found else None


def _content_type(headers: Headers) -> str | None:
    value = _one(headers, "content-type")
    if value is None or value == "":
        return None
    if len(value) > _MAX_VALUE_CHARACTERS or _CONTENT_TYPE.fullmatch(value) is None:
        raise InvalidRequest(f"Content-Type is no media type: {value!r:.100}")
    return value


def _whole(what: str, text: str) -> int:
    if _WHOLE.fullmatch(text) is None or int(text) > _MAX_WHOLE:
        raise InvalidRequest(f"{what} is a whole number from 0 to 2^53 - 1, in digits alone, not {text!r:.100}")
    return int(text)


def _offset(what: str, text: str) -> Offset:
    offset = BEGINNING if text in _BEGINNINGS else parse(text)
    if offset is None:
        raise InvalidRequest(f"{what} is no offset of this server: {text!r:.100}")
    return offset


def _moment(text: str) -> float:
    try:
        if _RFC_3339.fullmatch(text) is not None:
            return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest(f"Stream-Expires-At is no time as RFC 3339 has it, like 2026-01-31T12:00:00Z: {text!r:.100}")
