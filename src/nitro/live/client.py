"""`LiveClient`: a client that gets the rows of a live query, and whatever becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NoReturn, ParamSpec, Self

from nitro.clients.client import Client
from nitro.clients.grant import Grant
from nitro.clients.patterns import Topics
from nitro.delivery.interest import Interest
from nitro.delivery.query import Query
from nitro.errors import AccessDenied, ConfigurationError
from nitro.events.sender import AnyType
from nitro.messages.identity import Identity
from nitro.settings import Overflow

__all__ = ["LiveClient"]

P = ParamSpec("P")


class LiveClient(Client):
    """A client of one live query, for an `EventSourceResponse`: `Todo.live(Todo.owner_id == user.id)`.

    It first gets all rows, then each change, a message for each commit: a JSON array of State Protocol messages, or
    HTML. What is retained of the log is resumed without reading the rows again; else they are sent once more, behind a
    `reset`.

    Args:
        query: whose rows it gets.
        others: as of a `Client`; with `allowed`, `denied` or a `grant`, all of `<topic>.created`, `<topic>.updated` and
            `<topic>.deleted` has to be allowed, of all senders.

    Raises:
        AccessDenied: it isn't.
        NotAuthenticated: the rights have expired.
    """

    __slots__ = ("_interest",)

    def __init__(
        self,
        query: Query,
        client_id: str | None = None,
        *,
        allowed: Topics | None = None,
        denied: Topics | None = None,
        user_id: Identity | None = None,
        address: str | None = None,
        expires_at: datetime | float | None = None,
        last_event_id: str | None = None,
        max_messages: int | None = None,
        max_bytes: int | None = None,
        overflow: Overflow | None = None,
        send_timeout_seconds: float | None = None,
        grant: Grant | None = None,
    ) -> None:
        self._interest = Interest(frozenset(), frozenset(), query=query)
        topics = [f"{query.topic}.{word}" for word in ("created", "updated", "deleted")]
        super().__init__(
            client_id,
            topics,
            allowed=allowed,
            denied=denied,
            user_id=user_id,
            address=address,
            expires_at=expires_at,
            last_event_id=last_event_id,
            max_messages=max_messages,
            max_bytes=max_bytes,
            overflow=overflow,
            send_timeout_seconds=send_timeout_seconds,
            grant=grant,
        )
        self._check_rights()

    def connect(self) -> Self:
        """As a `Client`'s.

        Raises:
            AccessDenied: what its rows are about was revoked.
        """
        self._check_rights()
        return super().connect()

    @property
    def interest(self) -> Interest:
        """Its query, whose rows everybody gets alike who may have them."""
        return self._interest

    @property
    def markup(self) -> str | None:
        """The library that takes the HTML which it gets: `"htmx"`, `"turbo"` or `"datastar"`; None for JSON."""
        query = self._interest.query
        return None if query is None else query.markup

    def revoke(self, topic: str | AnyType) -> Self:
        """Deny `topic`. If that is some of what its rows are about, it is disconnected."""
        with self._lock:
            self._subscriptions.revoke(topic)
        try:
            self._check_rights()
        except AccessDenied:
            self.disconnect()
        return self

    def _check_rights(self) -> None:
        for topic in self.topics:
            if not self._subscriptions.may_hear_all_of(topic):
                raise AccessDenied(f"a live query has {topic!r} of all senders, which is not allowed for this client")

    def _change(self, change: Callable[P, None], *_: P.args, **__: P.kwargs) -> NoReturn:
        raise ConfigurationError(
            f"a live client gets the rows of its query, and {change.__name__} is of topics: make another client for "
            f"another query, or for topics"
        )
