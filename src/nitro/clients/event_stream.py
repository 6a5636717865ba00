"""event_stream: makes the client and the response for a request and its user's grant, in any ASGI framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Unpack

from starlette.responses import Response

from nitro.clients.client import Client
from nitro.clients.grant import Grant, check_grant
from nitro.clients.options import ClientOptions
from nitro.clients.patterns import Topics
from nitro.clients.requested import Requested, topics_of_request
from nitro.delivery.process import get_hub
from nitro.errors import AccessDenied, InvalidTopic, NotAuthenticated, TooManyClients, TooManyTopics
from nitro.sse.problem import Problem
from nitro.sse.response import EventSourceResponse

__all__ = ["HasScope", "event_stream", "requested_topics"]


class HasScope(Protocol):
    """A request of Starlette, FastAPI, Litestar or any other ASGI framework."""

    @property
    def scope(self) -> Mapping[str, Any]: ...


def requested_topics(request: HasScope) -> Requested:
    """The topics that a request asks for: `?topic=todo.*&topic=user.7`, one topic or pattern per parameter.

    Without any, `["ANY"]`: all that it may hear. A `Client` accepts this list only together with `allowed` or a grant,
    since it is untrusted. Values are percent-encoded as usual; lists with commas, `topic[]` and empty values are
    errors.

    Topics that don't fit in a URL are sent in the headers `Nitro-Topics-1`, `Nitro-Topics-2`, `Nitro-Topics-3` and so
    on, in addition to those of the query: each a list of patterns separated by commas, without spaces. Every header is
    read whose name begins with `Nitro-Topics`.

    Raises:
        InvalidTopic: a value breaks the grammar, or a parameter is named `topic[]`.
        TooManyTopics: there are more than `NITRO_MAX_TOPICS_PER_CLIENT` in all.
    """
    return topics_of_request(request.scope)


def event_stream(
    request: HasScope,
    grant: Grant | None,
    *,
    topics: Topics | None = None,
    response: Callable[[Client], Response] = EventSourceResponse,
    **options: Unpack[ClientOptions],
) -> Response:
    """The stream that `request` asks for, within what its user may hear.

    Errors are responses with JSON problem details (RFC 9457): 401 without a grant or with an expired one, 403 for
    topics outside the grant, 422 for invalid topics, and 429 with `Retry-After` if a limit is exceeded. A browser's
    `EventSource` doesn't reconnect after any of them.

    Args:
        request: of any ASGI framework; `?topic=` and `Nitro-Topics` are read from it by `requested_topics`.
        grant: what the user may hear; None if the request is not authenticated.
        topics: used instead of the requested ones.
        response: makes the response of the client: `partial(EventSourceResponse, named=True)`, `DatastarResponse`.
        **options: of `Client`: `muted_topics`, `overflow`, `max_messages` and so on.

    Raises:
        ArgumentTypeError: `grant` is neither a Grant nor None.
    """
    if grant is None:
        return Problem(NotAuthenticated("log in first: this request is not authenticated"))
    check_grant(grant, "the grant of event_stream")
    peer = request.scope.get("client")
    asks = grant.user_id, peer[0] if peer else None
    admission = get_hub().admission
    try:
        admission.check_rate(*asks)  # before its topics are parsed
        client = Client(topics=requested_topics(request) if topics is None else topics, grant=grant, **options)
        return response(client)
    except (NotAuthenticated, AccessDenied, InvalidTopic, TooManyTopics) as refusal:
        admission.probe(*asks, ())
        return Problem(refusal)
    except TooManyClients as refusal:
        return Problem(refusal)
