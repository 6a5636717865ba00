"""event_stream: from a request and what its user may hear to a stream, or to an answer that says why there is none.

Fed by an endpoint of any ASGI framework; makes the client and its response.
"""

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
    """A request of Starlette, FastAPI, Litestar or any other framework on ASGI."""

    @property
    def scope(self) -> Mapping[str, Any]: ...


def requested_topics(request: HasScope) -> Requested:
    """What a request asks to hear: `?topic=todo.*&topic=user.7`, one pattern for each parameter of that name.

    Without any it asks for all that it may hear, and this is `["ANY"]`. It is a list that a `Client` takes only beside
    `allowed`, since a stranger wrote it. Each value is a topic or a pattern, percent-encoded
    as usual and otherwise as it is: no lists with commas, no `topic[]`, no empty one.

    More than a URL should hold stand in headers, and are asked for beside those of the query: `Nitro-Topics`,
    `Nitro-Topics-2`, `Nitro-Topics-3` and so on, each a list of patterns joined by commas, without spaces.

    Raises:
        InvalidTopic: a value breaks the grammar, or the name is `topic[]`.
        TooManyTopics: more than `NITRO_MAX_TOPICS_PER_CLIENT` in all.
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

    Where it can't be, the response is JSON problem details (RFC 9457): 401 without a grant or with one that is over,
    403 for topics outside it, 422 for what is no topic, and 429 with `Retry-After` over a limit. A browser's
    `EventSource` stays closed after any of them.

    Args:
        request: of any ASGI framework; `?topic=` and `Nitro-Topics` are read from it by `requested_topics`.
        grant: what the user may hear; None if nobody knows who it is.
        topics: instead of what the request asks for.
        response: makes the response of the client: `partial(EventSourceResponse, named=True)`, `DatastarResponse`.
        **options: of `Client`: `muted_topics`, `overflow`, `max_messages` and so on.

    Raises:
        ArgumentTypeError: `grant` is neither a Grant nor None.
    """
    if grant is None:
        return Problem(NotAuthenticated("log in first: nobody knows who asks for this stream"))
    check_grant(grant, "the grant of event_stream")
    peer = request.scope.get("client")
    asks = grant.user_id, peer[0] if peer else None
    admission = get_hub().admission
    try:
        admission.check_rate(*asks)  # before its topics are read
        client = Client(topics=requested_topics(request) if topics is None else topics, grant=grant, **options)
        return response(client)
    except (NotAuthenticated, AccessDenied, InvalidTopic, TooManyTopics) as refusal:
        admission.probe(*asks, ())
        return Problem(refusal)
    except TooManyClients as refusal:
        return Problem(refusal)
