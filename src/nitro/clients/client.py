"""Client: one listener with its topics, from `connect()` to `disconnect()`. And who is connected right now.

Fed by an outbox of the delivery; read by `stream()`, `messages()` or an `EventSourceResponse`.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self

from nitro.clients.audience import audience
from nitro.clients.grant import Grant, check_grant
from nitro.clients.listener import Listener, active_clients, client_event
from nitro.clients.patterns import Topics
from nitro.clients.requested import Requested, asked_patterns
from nitro.clients.rights import Rights
from nitro.clients.subscriptions import Subscriptions
from nitro.delivery.interest import Interest
from nitro.delivery.limits import Overflow
from nitro.delivery.process import get_hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidTopic, NitroWarning, TopicTypeError
from nitro.events.sender import ANY, is_any
from nitro.messages.identity import Identity

__all__ = ["Client", "active_clients", "client_event"]

_EVERYTHING: Final = tuple(map(str, [ANY]))
"""The topics of whoever names none; an object of its own, since `("ANY",)` of an application's is something said."""


class Client(Listener):
    """Hears the events that its topics name, between `connect()` and `disconnect()`.

    ```python
    with Client(topics=["todo.*"]) as client:
        async for data in client.stream():
            ...
    ```

    Args:
        client_id: its key in `active_clients`; a UUID if None. Of two connected clients with the same id,
            `active_clients` holds the one that connected last. It is no topic: `Client("todo.*")` is refused.
        topics: a topic or pattern, a list of them, or a dict of pattern → senders, or `ANY` (or `"ANY"`) for
            everything. `*` in a pattern stands for one or more characters, dots included. A sender is a
            string or an object with an `id`.
        muted_topics: topics or patterns never to hear, whatever `topics` says; `ANY` mutes nothing.
        allowed: what it may hear: topics or patterns, or a dict of those → senders. Each of `topics` has to be
            contained in one of them, and each message is checked again, live and replayed. `topics=ANY` then stands for
            all of them. None trusts `topics`, as the server's own; only `ANY` trusts those of `requested_topics`.
        denied: the same, never to be heard, whatever is allowed.
        user_id: for whom it listens: what `nitro.disconnect_user` and the limit for each user mean. An id, or an object
            that has one.
        address: from where it is connected, for the limit for each address; a response sets it by itself. What is no IP
            address is limited by none; a port is left out.
        expires_at: when its rights end, and with them its stream: an aware datetime, or seconds since 1970.
        grant: these four in one, and when they were read, instead of them: what a `nitro.Grant` says.
        last_event_id: id of the newest message that it had before it was cut off, or a `nitro.position()`: once
            connected it gets what came since, or a `Gap` if that can't be had. What a stranger sends may be passed
            on as it is: a wrong one is a gap, and an empty one the same as None, which starts with what comes next.
        max_messages, max_bytes: what may wait for it; the settings' `NITRO_CLIENT_MAX_…` if None.
        overflow: what is done when more waits for it. `"disconnect"`: it is ended, and a browser comes back and
            resumes. `"drop_oldest"`: the newest half of the limit is kept. `"latest"`: of each topic, or each value
            of the event's `latest_by`, only the newest is kept. What is dropped is announced by a `Gap`.
            `NITRO_CLIENT_OVERFLOW` if None.
        send_timeout: seconds that a write to it may be blocked before it is ended; `NITRO_SEND_TIMEOUT_SECONDS`.

    Raises:
        InvalidTopic, TopicTypeError: a topic breaks the grammar.
        TooManyTopics: more than `NITRO_MAX_TOPICS_PER_CLIENT`.
        AccessDenied: one of `topics` is not contained in `allowed`, or is `denied`.
        NotAuthenticated: `expires_at` has passed.
        ConfigurationError: a limit that makes no sense, `requested_topics` without `allowed`, or a `grant` beside what
            it says already.
        ArgumentTypeError: `grant` is no Grant.

    Warns:
        NitroWarning: it has an id or a user, and nothing says what it hears, so it hears everything.
    """

    __slots__ = ("_requested", "_rights", "_subscriptions")

    def __init__(
        self,
        client_id: str | None = None,
        topics: Any = _EVERYTHING,
        muted_topics: Any = ANY,
        *,
        allowed: Any = None,
        denied: Any = None,
        user_id: Any = None,
        address: str | None = None,
        expires_at: datetime | float | None = None,
        last_event_id: str | None = None,
        max_messages: int | None = None,
        max_bytes: int | None = None,
        overflow: Overflow | None = None,
        send_timeout: float | None = None,
        grant: Grant | None = None,
    ) -> None:
        if last_event_id is not None and not isinstance(last_event_id, str):
            raise TypeError(f"last_event_id is a string or None, not {type(last_event_id).__name__}")
        _check_id(client_id)
        grant = _grant_of(grant, allowed, denied, user_id, expires_at)
        if isinstance(topics, Requested) and grant._allowed is None:
            raise ConfigurationError(
                "a request names its topics itself, so say what it may hear: Client(topics=requested_topics(request), "
                "allowed=['todo.*']), or allowed=ANY for everything"
            )
        hub = get_hub()
        super().__init__(
            str(uuid.uuid4()) if client_id is None else client_id,
            grant,
            hub.limits.override(max_messages, max_bytes, overflow, send_timeout),
            address,
            last_event_id,
        )
        self._requested = topics if isinstance(topics, Requested) else None
        self._rights = Rights(grant)
        self._subscriptions = Subscriptions(topics, muted_topics, self._rights, hub.settings.max_topics_per_client)
        is_somebody = client_id is not None or grant.user_id is not None
        if is_somebody and topics is _EVERYTHING and grant._allowed is None:
            warnings.warn(_HEARS_EVERYTHING, NitroWarning, stacklevel=2)

    @property
    def topics(self) -> dict[str, Any]:
        """Its subscriptions: pattern → list of senders, or `ANY`."""
        return self._subscriptions.topics

    @property
    def muted_topics(self) -> list[str]:
        """The patterns that it never hears."""
        return self._subscriptions.mutes

    @property
    def interest(self) -> Interest:
        return self._subscriptions.interest

    @property
    def asked(self) -> Sequence[str]:
        return () if self._requested is None else tuple(self._requested)

    def greeting(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """What a response tells the browser client of a stream: `for`, whom it is for, where the server decides that;
        and `topics`, how many were asked for, where some of them stood in a header and were read.
        """
        asked, greeting = self._requested, dict[str, Any]()
        chain = None if self._outbox is None else self._outbox.chain
        interest = self.interest if chain is None else chain.interest
        whom = audience(self.user_id, interest, asked_patterns(scope) if asked is None else frozenset(asked))
        if whom is not None:
            greeting["for"] = whom
        if asked is not None and asked.in_header:
            greeting["topics"] = len(asked)
        return greeting

    def subscribe(self, topic: str, senders: Any = ANY) -> Self:
        """Hear `topic` too, from the senders named, from now on.

        Raises:
            InvalidTopic, TopicTypeError, TooManyTopics, AccessDenied: and the client stays as it was.
        """
        return self._change(self._subscriptions.add, topic, senders)

    def unsubscribe(self, topic: str) -> Self:
        """Drop the subscription that was written so; other patterns that match the same stay."""
        return self._change(self._subscriptions.remove, topic)

    def mute(self, topic: str) -> Self:
        """Stop hearing what `topic` matches, whatever is subscribed."""
        return self._change(self._subscriptions.mute, topic)

    def unmute(self, topic: str) -> Self:
        """Drop the mute that was written so."""
        return self._change(self._subscriptions.unmute, topic)

    def grant(self, topic: str, senders: Any = ANY) -> Self:
        """Allow `topic`, of the senders named, from now on. It undoes a `revoke` that was written so, and no `denied`.

        It changes nothing of what is subscribed, but for a client that asked for `ANY`, which means all that is
        allowed. Where nothing was said to be `allowed`, everything is.

        Raises:
            InvalidTopic, TopicTypeError, TooManyTopics: and the client stays as it was.
        """
        return self._change(self._subscriptions.grant, topic, senders)

    def revoke(self, topic: str) -> Self:
        """Deny `topic` from now on, whatever is allowed: nothing that it matches is heard any more, not even what was
        emitted before and still waits, or is to be replayed.
        """
        return self._change(self._rights.revoke, topic)

    def _change(self, change: Callable[..., None], *arguments: Any) -> Self:
        with self._lock:
            change(*arguments)
            if self._outbox is not None and not self._outbox.is_ended:
                get_hub().change(self._outbox, self.interest)
        return self

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        return f"<Client {self.client_id!a:.60} {state}, topics {list(self.topics)}>"


_HEARS_EVERYTHING: Final = (
    "this Client has an id or a user, and hears every event, since nothing says what it hears (its first argument is "
    "its id). Name its topics, Client(topics=['todo.*']), or say that all of them are meant, Client(topics=ANY)"
)


def _grant_of(
    grant: Grant | None,
    allowed: Topics | None,
    denied: Topics | None,
    user_id: Identity | None,
    expires_at: datetime | float | None,
) -> Grant:
    """The one value that says what a client may hear, for whom and until when, however that was written."""
    if grant is not None:
        check_grant(grant, "the grant of a Client")
        if any(said is not None for said in (allowed, denied, user_id, expires_at)):
            raise ConfigurationError(
                "grant= says already what this Client may hear, for whom and until when; leave out allowed=, denied=, "
                "user_id= and expires_at=, or say all of it there: grant=Grant(['todo.*'], user_id=user.id)"
            )
        return grant
    denied = () if denied is None else denied
    if allowed is None:
        return Grant._trusting(denied, user_id, expires_at)
    return Grant(allowed, denied, user_id, expires_at)


def _check_id(client_id: object) -> None:
    """Raises where topics were written in its place."""
    if client_id is None:
        return
    if not isinstance(client_id, str):
        wanted = f"a client_id is a string or None, not {type(client_id).__name__}"
        if isinstance(client_id, Iterable) or is_any(client_id):
            raise TopicTypeError(f"{wanted}; topics are named: Client(topics={client_id!a:.60})")
        raise ArgumentTypeError(wanted)
    if "*" in client_id or is_any(client_id):
        raise InvalidTopic(
            f"{client_id!a:.60} is a pattern, and the first argument of Client is its id; topics are named: "
            f"Client(topics=[{client_id!a:.60}])"
        )
