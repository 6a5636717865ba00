"""Greeting: the fields about a stream's audience in its opening event, and the refusals of a probe.

Fed by a client that knows its audience. Tabs of the browser client share a running stream only if a probe that is sent
after they join gets the same greeting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from nitro.errors import NotAuthenticated, TooManyClients
from nitro.sse.problem import Problem

__all__ = ["Greeter", "greeting_of", "refusal_of", "too_fast"]


@runtime_checkable
class Greeter(Protocol):
    """A client that adds fields to the opening event of its stream. Other clients are streamed without."""

    def greeting(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the opening event, for the request with that scope."""

    def count_answer(self) -> None:
        """Count in the connect rates, for an answer that is not a stream; raises TooManyClients."""

    def has_current_rights(self) -> bool:
        """Whether its stream would stay open. With rights from before a `disconnect_user` it would be ended at once.

        Raises:
            NotAuthenticated: its rights have expired.
        """


def greeting_of(client: object, scope: Mapping[str, Any]) -> dict[str, Any]:
    """The client's greeting; empty if it is not a Greeter."""
    return client.greeting(scope) if isinstance(client, Greeter) else {}


def too_fast(client: object) -> Problem | None:
    """Count a request that is answered without a stream in the connect rates; 429 if it exceeds them, else None."""
    if isinstance(client, Greeter):
        try:
            client.count_answer()
        except TooManyClients as refusal:
            return Problem(refusal)
    return None


def refusal_of(client: object) -> Problem | None:
    """The answer to a probe that exceeds the connect rates or whose stream would be refused or ended; None otherwise.

    It is 429, 401, or 503 where a retry reads the rights again.
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
