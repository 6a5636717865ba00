"""Authorization: asks the application's own function whether a request may do what it wants.

Fed by the app, before anything else of a request is read; a refusal is an exception that the app answers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from starlette.requests import Request

from nitro.errors import AccessDenied, ConfigurationError
from nitro.sse.asking import asking

__all__ = ["Action", "Authorization", "Authorize"]

log: Final = logging.getLogger("nitro.streams")

Action = Literal["create", "append", "close", "read", "delete"]
"""What a request wants to do with a stream."""

Authorize = Callable[[Request, str, Action], "bool | Awaitable[bool | None] | None"]
"""Whether a request may do it: the request, the path of the stream within the mount, and what it wants."""

_REMEDY: Final = (
    "say who may use these streams: DurableStreams(authorize=authorize), where authorize(request, path, action) "
    "returns True if the request may do it, and action is 'create', 'append', 'close', 'read' or 'delete'"
)


class Authorization:
    """Args:
        authorize: a function, or a coroutine function; others run in a thread, as endpoints do.

    Raises:
        ConfigurationError: it is no function.
    """

    def __init__(self, authorize: Authorize) -> None:
        if not callable(authorize):
            raise ConfigurationError(f"authorize is {authorize!r:.100}, and not a function; {_REMEDY}")
        self._authorize = authorize
        self._ask = asking(authorize)
        self._has_warned = False

    async def check(self, request: Request, path: str, action: Action) -> None:
        """Return if the request may do it.

        Raises:
            AccessDenied: the answer is anything but True, so that a function that forgets to answer permits nothing.
        """
        answer = await self._ask(request, path, action)
        if answer is not True:
            if answer and not self._has_warned:
                self._has_warned = True
                log.warning(
                    "authorize returned what is true and not True (%s), and so nothing is permitted; return a "
                    "comparison, such as `member is not None`",
                    type(answer).__name__,
                )
            raise AccessDenied(f"this request may not {action} the stream {path!r}")

    def __repr__(self) -> str:
        return f"<Authorization by {self._authorize!r}>"
