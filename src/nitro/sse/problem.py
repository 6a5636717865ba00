"""Problem: the error response that is sent instead of a stream, as machine-readable JSON (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from pydantic_core import to_json
from starlette.responses import Response

from nitro.errors import (
    AccessDenied,
    BrokerUnavailable,
    InvalidPayload,
    InvalidTopic,
    NitroError,
    NotAuthenticated,
    Overloaded,
    PayloadTooLarge,
    TooManyClients,
    TooManyTopics,
    TopicTypeError,
)

__all__ = ["AWAY", "Problem"]

AWAY: Final = BrokerUnavailable("what this needs can't be reached for now; ask again")
"""What strangers are told while a broker or a store is away: not where it is. The log says that, and why."""

_STATUSES: Final[tuple[tuple[type[NitroError], int], ...]] = (
    (NotAuthenticated, 401),
    (AccessDenied, 403),
    (PayloadTooLarge, 413),
    (InvalidPayload, 422),
    (InvalidTopic, 422),
    (TopicTypeError, 422),
    (TooManyTopics, 422),
    (TooManyClients, 429),
    (BrokerUnavailable, 503),
    (Overloaded, 503),
)
_BUSY_SECONDS: Final = 5


class Problem(Response):
    """The response to a request that failed with `error`: its status, and its text as the detail.

    Args:
        error: the reason.
        status: overrides the status of the error's class; None uses that.
    """

    media_type = "application/problem+json"

    def __init__(self, error: NitroError, status: int | None = None) -> None:
        if status is None:
            status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
        headers = {"cache-control": "no-store"}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        elif isinstance(error, TooManyClients):
            headers["retry-after"] = str(error.retry_after_seconds)
        elif status == 503:
            headers["retry-after"] = str(_BUSY_SECONDS)
        body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": str(error)}
        super().__init__(to_json(body), status, headers)
