"""In FastAPI's way: a dependency that goes from what a user may hear to a stream.

`from nitro.fastapi import EventStream`. Needs FastAPI 0.128.2 or newer.

Fed by a dependency of the application's, which knows the user; makes the response of the endpoint.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from inspect import Parameter, Signature
from types import CodeType
from typing import Annotated, Any, Final, Unpack

from fastapi import Depends, Query, Request
from starlette.responses import Response

from nitro.clients.client import Client
from nitro.clients.event_stream import event_stream
from nitro.clients.grant import Grant, check_grant
from nitro.clients.options import ClientOptions
from nitro.clients.patterns import Topics
from nitro.errors import ArgumentTypeError
from nitro.sse.response import EventSourceResponse

__all__ = ["EventStream"]

log: Final = logging.getLogger("nitro.fastapi")

_REFUSALS: Final = {
    401: "nobody knows who asks",
    403: "the user may not hear a topic that was asked for",
    422: "what was asked for is no topic",
    429: "too many clients; `Retry-After` says when to come back",
}
_PROBLEM: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("type", "title", "detail")} | {"status": {"type": "integer"}},
}


class EventStream:
    """A dependency whose value is the stream that a request asks for, or the answer that says why there is none.

    ```python
    def may_hear(user: Annotated[User | None, Depends(current_user)]) -> Grant | None:
        return Grant(["todo.*", f"user.{user.id}.*"], user_id=user.id) if user else None

    live = EventStream(may_hear)

    @app.get("/events", **live.openapi)
    async def events(stream: Annotated[Response, Depends(live)]) -> Response:
        return stream
    ```

    A dependency with `yield` stays open as long as the response runs, and a stream runs for hours. So what the grant is
    read with, a database session most of all, is given back before: `Depends(get_session, scope="function")`.

    Args:
        grant: a dependency that returns what the user may hear, or None for 401. It may have dependencies of its own.
        response, topics, **options: as of `nitro.event_stream`.

    An exception in `grant` is the application's, as in any dependency; it is logged with that function's name, too.

    Raises:
        ArgumentTypeError: `grant` is no such function, or returned neither a Grant nor None.

    Attributes:
        openapi: arguments of `app.get` that show the stream and its refusals in the documentation.
    """

    def __init__(
        self,
        grant: Callable[..., Grant | None] | Callable[..., Awaitable[Grant | None]],
        *,
        response: Callable[[Client], Response] = EventSourceResponse,
        topics: Topics | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._grant = _checked(grant)
        self._topics = topics
        self._response = response
        self._options = options
        self.openapi: dict[str, Any] = {
            "response_class": EventSourceResponse,
            "responses": {
                200: {"description": "server-sent events", "content": {"text/event-stream": {"schema": {}}}},
                **{
                    status: {
                        "description": f"{description} (RFC 9457)",
                        "content": {"application/problem+json": {"schema": _PROBLEM}},
                    }
                    for status, description in _REFUSALS.items()
                },
            },
        }
        several = "repeat it for several, or send them in the header Nitro-Topics, joined by commas"
        asked = Query(alias="topic", description=f"a topic or pattern to hear; {several}")
        parameters = [
            Parameter("request", Parameter.KEYWORD_ONLY, annotation=Request),
            Parameter(
                "watch", Parameter.KEYWORD_ONLY, annotation=Annotated[None, Depends(self._watch, scope="function")]
            ),
            Parameter("grant", Parameter.KEYWORD_ONLY, annotation=Annotated[Grant | None, Depends(grant)]),
        ]
        if topics is None:  # shown in the documentation, and read from the request
            wanted = Annotated[list[str] | None, asked]
            # By another name than `topic`, which FastAPI would take for a parameter of the path that is called so.
            parameters.append(Parameter("nitro_topics", Parameter.KEYWORD_ONLY, annotation=wanted, default=None))
        self.__signature__: Signature = Signature(parameters)  # what FastAPI reads instead of that of `__call__`

    async def __call__(self, *, request: Request, grant: Grant | None, **_: Any) -> Response:
        """The stream, or its refusal."""
        if grant is not None:
            check_grant(grant, f"what {_name_of(self._grant)} returned")
        return event_stream(request, grant, topics=self._topics, response=self._response, **self._options)

    async def _watch(self, request: Request) -> AsyncIterator[None]:
        """Ends before the stream begins. What is raised meanwhile passes here."""
        try:
            yield
        except Exception as error:
            handled = request.scope.get("starlette.exception_handlers", ({},))[0]
            if _code_of(self._grant) in _codes(error) and not any(kind in handled for kind in type(error).__mro__):
                name = _name_of(self._grant)
                kind, text = type(error).__name__, str(error)
                log.error("%s, which says who may hear what, raised %s: %.300a", name, kind, text)  # noqa: TRY400 - the server logs its traceback
            raise


def _checked(grant: Callable[..., Any]) -> Callable[..., Any]:
    """`grant`, if it can be asked for the grant of a request.

    Raises:
        ArgumentTypeError: it can't, or it is `Grant` itself, whose arguments FastAPI would read from the URL.
    """
    inner = grant.func if isinstance(grant, partial) else grant
    if not callable(grant) or (isinstance(inner, type) and issubclass(inner, Grant)):
        raise ArgumentTypeError(
            f"EventStream takes the function that says what the user of a request may hear, not {grant!a:.80}; for one "
            "grant for everybody write EventStream(lambda: Grant(['todo.*']))"
        )
    return grant


def _name_of(grant: Any) -> str:
    named = grant.func if isinstance(grant, partial) else grant
    named = named if hasattr(named, "__qualname__") else type(named)
    return f"{named.__module__}.{named.__qualname__}"


def _code_of(grant: Any) -> CodeType | None:
    inner = grant.func if isinstance(grant, partial) else grant
    inner = inner if hasattr(inner, "__code__") else getattr(inner, "__call__", None)  # noqa: B004 - not whether it is one
    return getattr(inner, "__code__", None)


def _codes(error: BaseException) -> Iterator[CodeType | None]:
    """What ran when it was raised."""
    place = error.__traceback__
    while place is not None:
        yield place.tb_frame.f_code
        place = place.tb_next
