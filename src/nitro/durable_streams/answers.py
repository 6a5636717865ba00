"""Answers: what there is of a stream, and what was refused, as responses with the protocol's headers.

Fed by the app with pages, states and errors; feeds the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from nitro.durable_streams.paths import InvalidRequest, UnknownSource
from nitro.errors import InvalidPayload, NitroError, PayloadTooLarge
from nitro.sse.problem import Problem
from nitro.streams.decisions import Current
from nitro.streams.errors import (
    ContentTypeMismatch,
    InvalidOffset,
    SequenceGap,
    SequenceRegression,
    StaleEpoch,
    StreamClosed,
    StreamExists,
    StreamGone,
    StreamNotFound,
    TooMany,
)
from nitro.streams.items import is_json
from nitro.streams.offsets import Offset
from nitro.streams.page import Page

__all__ = ["COMMON", "answer", "body_of_page", "etag", "head", "is_known", "place", "refusal", "refused"]

COMMON: Final = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "sandbox; default-src 'none'",
    "access-control-expose-headers": (
        "ETag, Location, Stream-Next-Offset, Stream-Cursor, Stream-Up-To-Date, Stream-Closed, Stream-TTL, "
        "Stream-Expires-At, Stream-SSE-Data-Encoding, Producer-Epoch, Producer-Seq, Producer-Expected-Seq, "
        "Producer-Received-Seq"
    ),
}
"""Of every answer. Whoever writes a stream chooses its type, and may choose HTML: shown as a page it runs no scripts.
Other origins read it only if the application's own CORS middleware lets them."""

_STATUSES: Final[tuple[tuple[type[NitroError], int], ...]] = (
    (InvalidRequest, 400),
    (InvalidOffset, 400),
    (StaleEpoch, 403),
    (StreamNotFound, 404),
    (UnknownSource, 404),
    (StreamClosed, 409),
    (StreamExists, 409),
    (ContentTypeMismatch, 409),
    (SequenceGap, 409),
    (SequenceRegression, 409),
    (PayloadTooLarge, 413),
    (TooMany, 409),
    (StreamGone, 410),
    (InvalidPayload, 400),
)


def answer(status: int, headers: dict[str, str], body: bytes = b"") -> Response:
    """A response; it has no type of its own but that in its headers."""
    response = Response(body, status, {**COMMON, **headers})
    if status in (204, 304):
        del response.headers["content-length"]
    return response


def place(offset: Offset, *, is_closed: bool, is_up_to_date: bool = False) -> dict[str, str]:
    """The headers that say where a reader or writer is now."""
    headers = {"stream-next-offset": str(offset)}
    if is_up_to_date:
        headers["stream-up-to-date"] = "true"
    if is_closed:
        headers["stream-closed"] = "true"
    return headers


def head(current: Current) -> Response:
    """What there is of a stream, but for its content."""
    state = current.state
    headers = {"content-type": state.content_type, "cache-control": "no-store"}
    if state.ttl_seconds is not None:
        headers["stream-ttl"] = str(state.ttl_seconds)
    if state.expires_text is not None:
        headers["stream-expires-at"] = state.expires_text
    response = answer(200, {**headers, **place(current.tail, is_closed=state.is_closed)})
    del response.headers["content-length"]  # that of a GET is another one
    return response


def body_of_page(page: Page) -> bytes:
    """Its bytes, or a JSON array of its messages."""
    if is_json(page.state.content_type):
        return b"[%b]" % b",".join(page.items)
    return b"".join(page.items)


def etag(page: Page, offset: Offset) -> str:
    """What names this page. It changes as well when the page becomes the last one, and when the stream is closed."""
    end = "c" if page.is_closed else "t" if page.is_up_to_date else ""
    return f'"{page.state.id}:{offset}:{page.next}:{end}"'


def is_known(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether the client has what `etag` names, by its headers `If-None-Match`."""
    known = [each.strip().removeprefix("W/") for header in if_none_match for each in header.split(",")]
    return etag in known or "*" in known


def refusal(error: NitroError) -> Response:
    """The answer to what was refused."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
    headers: dict[str, str] = {}
    if isinstance(error, StreamClosed):
        headers = place(error.tail, is_closed=True)
    elif isinstance(error, StaleEpoch):
        headers = {"producer-epoch": str(error.epoch)}
    elif isinstance(error, SequenceGap):
        headers = {"producer-expected-seq": str(error.expected), "producer-received-seq": str(error.received)}
    return _with(Problem(error, status), headers)


def refused(error: HTTPException) -> Response:
    """The answer that the application's own function has chosen."""
    status = error.status_code if error.status_code in set(HTTPStatus) else 403
    return _with(Problem(NitroError(str(error.detail)), status), dict(error.headers or {}))


def _with(problem: Problem, headers: dict[str, str]) -> Response:
    problem.headers.update({**COMMON, **headers})
    return problem
