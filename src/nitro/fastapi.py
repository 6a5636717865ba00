"""A dependency for FastAPI that turns a user's grant into a stream.

`from nitro.fastapi import EventStream`. Needs FastAPI 0.128.2 or newer.

The grant comes from a dependency of the application; the value is the endpoint's response.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from inspect import Parameter, Signature
from types import CodeType
from typing import Annotated, Any, Final, Unpack

from fastapi import Depends, Query, Request
from starlette.responses import Response

from nitro.clients.client import Client
from nitro.clients.event_stream import event_stream
from nitro.clients.grant import Grant, check_grant
from nitro.clients.openapi import ASKED, PARAMETERS, REFUSALS, item_schema
from nitro.clients.options import ClientOptions
from nitro.clients.patterns import Topics
from nitro.errors import ArgumentTypeError
from nitro.events.event import Event
from nitro.sse.response import EventSourceResponse

__all__ = ["EventStream", "openapi"]

log: Final = logging.getLogger("nitro.fastapi")


class EventStream:
    """A dependency whose value is the stream that a request asks for, or an error response.

    ```python
    def may_hear(user: Annotated[User | None, Depends(current_user)]) -> Grant | None:
        return Grant(["todo.*", f"user.{user.id}.*"], user_id=user.id) if user else None

    live = EventStream(may_hear)

    @app.get("/events", **live.openapi)
    async def events(stream: Annotated[Response, Depends(live)]) -> Response:
        return stream
    ```

    A dependency with `yield` stays open until the response ends, and a stream runs for hours. So release what the grant
    is read with, above all a database session, before the response: `Depends(get_session, scope="function")`.

    Args:
        grant: a dependency that returns what the user may hear, or None for 401. It may have dependencies of its own.
        events: those with a schema that the stream sends, for its documentation; it doesn't change what is sent.
        response, topics, **options: as in `nitro.event_stream`.

    An exception in `grant` is handled as in any dependency, and also logged with that function's name.

    Raises:
        ArgumentTypeError: `grant` is no such function, or returned neither a Grant nor None; or `events` are none.
        ConfigurationError: one of `events` has no schema.

    Attributes:
        openapi: arguments of `app.get` that document the stream, its events, its parameters and its error responses.
    """

    def __init__(
        self,
        grant: Callable[..., Grant | None] | Callable[..., Awaitable[Grant | None]],
        *,
        response: Callable[[Client], Response] = EventSourceResponse,
        topics: Topics | None = None,
        events: Iterable[Event[Any, Any]] = (),
        **options: Unpack[ClientOptions],
    ) -> None:
        self._grant = _checked(grant)
        self._topics = topics
        self._response = response
        self._options = options
        self.openapi: dict[str, Any] = _documented(events, response)
        asked = Query(alias="topic", description=ASKED)
        parameters = [
            Parameter("request", Parameter.KEYWORD_ONLY, annotation=Request),
            Parameter(
                "watch", Parameter.KEYWORD_ONLY, annotation=Annotated[None, Depends(self._watch, scope="function")]
            ),
            Parameter("grant", Parameter.KEYWORD_ONLY, annotation=Annotated[Grant | None, Depends(grant)]),
        ]
        if topics is None:  # documented, and read from the request
            wanted = Annotated[list[str] | None, asked]
            # Not named `topic`, since FastAPI would take it for a path parameter of that name.
            parameters.append(Parameter("nitro_topics", Parameter.KEYWORD_ONLY, annotation=wanted, default=None))
        self.__signature__: Signature = Signature(parameters)  # FastAPI reads this instead of that of `__call__`

    async def __call__(self, *, request: Request, grant: Grant | None, **_: Any) -> Response:
        """The stream, or an error response."""
        if grant is not None:
            check_grant(grant, f"what {_name_of(self._grant)} returned")
        return event_stream(request, grant, topics=self._topics, response=self._response, **self._options)

    async def _watch(self, request: Request) -> AsyncIterator[None]:
        """Log unhandled exceptions of `grant`, which FastAPI throws in here. Ends before the stream begins."""
        try:
            yield
        except Exception as error:
            handled = request.scope.get("starlette.exception_handlers", ({},))[0]
            if _code_of(self._grant) in _codes(error) and not any(kind in handled for kind in type(error).__mro__):
                name = _name_of(self._grant)
                kind, text = type(error).__name__, str(error)
                log.error("%s, which says who may hear what, raised %s: %.300a", name, kind, text)  # noqa: TRY400 - the server logs its traceback
            raise


def openapi(*events: Event[Any, Any], response: Callable[[Client], Response] = EventSourceResponse) -> dict[str, Any]:
    """Arguments of `app.get` that document a stream which an endpoint returns by `nitro.event_stream`.

    ```python
    @app.get("/events", **openapi(todo_created, todo_deleted))
    async def events(request: Request) -> Response:
        return event_stream(request, grant)
    ```

    Args:
        events: those with a schema that the stream sends.
        response: as in `nitro.event_stream`.

    Raises:
        ArgumentTypeError: one is no event.
        ConfigurationError: one has no schema.
    """
    found = _documented(events, response)
    topic = {"type": "array", "items": {"type": "string"}}
    asked = {"name": "topic", "in": "query", "required": False, "description": ASKED, "schema": topic}
    found["openapi_extra"]["parameters"].insert(0, asked)
    return found


def _documented(events: Iterable[Event[Any, Any]], response: Callable[[Client], Response]) -> dict[str, Any]:
    inner, options = (response.func, response.keywords) if isinstance(response, partial) else (response, {})
    is_plain = inner is EventSourceResponse and not options.get("text")
    item = item_schema(events, named=bool(options.get("named")))
    content = {"itemSchema": item} if is_plain else {"schema": {}}
    return {
        "response_class": EventSourceResponse,
        "responses": {
            200: {"description": "server-sent events", "content": {"text/event-stream": content}},
            **REFUSALS,
        },
        "openapi_extra": {"parameters": [*PARAMETERS]},
    }


def _checked(grant: Callable[..., Any]) -> Callable[..., Any]:
    """`grant`, if it can be a dependency.

    Raises:
        ArgumentTypeError: it is not callable, or is `Grant` itself, whose arguments FastAPI would read from the URL.
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
    inner = inner if hasattr(inner, "__code__") else getattr(inner, "__call__", None)  # noqa: B004 - the method itself is inspected
    return getattr(inner, "__code__", None)


def _codes(error: BaseException) -> Iterator[CodeType | None]:
    """The code objects of the frames in the traceback of `error`."""
    place = error.__traceback__
    while place is not None:
        yield place.tb_frame.f_code
        place = place.tb_next
