"""Greeting: what the opening of a stream in an envelope says of whom it is for, and why a probe gets none.

Fed by a client that knows for whom it listens. The browser client's tabs join a running stream only if a greeting that
was asked for after they joined, by a probe, says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from nitro.errors import NotAuthenticated, TooManyClients
from nitro.sse.problem import Problem

__all__ = ["Greeter", "greeting_of", "refusal_of", "too_fast"]


@runtime_checkable
class Greeter(Protocol):
    """A client that says more of its stream than when to come back. Others are streamed without."""

    def greeting(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the opening event, for the request with that scope."""

    def count_answer(self) -> None:
        """Be counted as one that connects, for an answer that is no stream; raises TooManyClients."""

    def has_current_rights(self) -> bool:
        """Whether a stream of its wouldn't be ended at once, as one with rights from before a `disconnect_user` is.

        Raises:
            NotAuthenticated: its rights have expired.
        """


def greeting_of(client: object, scope: Mapping[str, Any]) -> dict[str, Any]:
    """What the client says; nothing if it doesn't."""
    return client.greeting(scope) if isinstance(client, Greeter) else {}


def too_fast(client: object) -> Problem | None:
    """429 to a request that is answered without a stream, and counted as one that connects, if there were too many."""
    if isinstance(client, Greeter):
        try:
            client.count_answer()
        except TooManyClients as refusal:
            return Problem(refusal)
    return None


def refusal_of(client: object) -> Problem | None:
    """The answer to a probe that is too soon, or whose stream would not be one.

    It is 429, 401, or 503 where asking again reads the rights anew.
    """
    if not isinstance(client, Greeter):
        return None
    if (refusal := too_fast(client)) is not None:
        return refusal
    try:
        if client.has_current_rights():
            return None
    except NotAuthenticated as expired:
        return Problem(expired)
    return Problem(NotAuthenticated("this user's streams were ended a moment ago; ask again"), 503)
