"""Client: one who hears what its topics name, from `connect()` to `disconnect()`.

Made of its subscriptions, which say what it hears, and its membership, by which it does;
read by `stream()`, `messages()` or an `EventSourceResponse`.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, ParamSpec, Self

from nitro.clients.active import ActiveClients
from nitro.clients.audience import audience
from nitro.clients.grant import Grant, Written, grant_of
from nitro.clients.membership import Membership
from nitro.clients.patterns import Patterns, Senders, Topics
from nitro.clients.requested import Requested, asked_patterns
from nitro.clients.rights import Rights
from nitro.clients.subscriptions import Subscriptions
from nitro.delivery.interest import Interest
from nitro.delivery.outbox import Outbox
from nitro.delivery.process import get_hub
from nitro.delivery.reader import Reader
from nitro.deprecation import renamed
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidTopic, NitroWarning, TopicTypeError
from nitro.events.emitting import emit
from nitro.events.event import event
from nitro.events.payload import decode, encode
from nitro.events.sender import ANY, AnyType, is_any
from nitro.messages.identity import Identity
from nitro.messages.message import Gap, Message
from nitro.settings import Overflow
from nitro.sse.drain import drain_on_signals

__all__ = ["Client", "active_clients", "client_event"]

log: Final = logging.getLogger("nitro.events")
P = ParamSpec("P")

client_event: Final = event(
    "client_lifecycle", "Emitted by the sender 'system' with action='connect' or 'disconnect', and client."
)

_EVERYTHING: Final = tuple(map(str, [ANY]))
"""The topics of whoever names none; an object of its own, since `("ANY",)` of an application's is something said."""


class Client:
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
        send_timeout_seconds: how long a write to it may be blocked before it is ended; `NITRO_SEND_TIMEOUT_SECONDS`.

    Attributes:
        client_id: its key in `active_clients`.
        address: from where it is connected.
        streamed: what a response streams to its browser now; None if there is none.

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

    __slots__ = (
        "__weakref__",
        "_is_active",
        "_lock",
        "_membership",
        "_requested",
        "_subscriptions",
        "address",
        "client_id",
        "streamed",
    )

    @renamed(send_timeout="send_timeout_seconds")
    def __init__(
        self,
        client_id: str | None = None,
        topics: Topics = _EVERYTHING,
        muted_topics: Patterns = ANY,
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
        if last_event_id is not None and not isinstance(last_event_id, str):
            raise TypeError(f"last_event_id is a string or None, not {type(last_event_id).__name__}")
        _check_id(client_id)
        grant = grant_of(grant, allowed, denied, user_id, expires_at)
        if isinstance(topics, Requested) and grant._allowed is None:
            raise ConfigurationError(
                "a request names its topics itself, so say what it may hear: Client(topics=requested_topics(request), "
                "allowed=['todo.*']), or allowed=ANY for everything"
            )
        hub = get_hub()
        self.client_id: str = str(uuid.uuid4()) if client_id is None else client_id
        self.address: str | None = address
        self.streamed: Outbox | None = None
        limits = hub.limits.override(max_messages, max_bytes, overflow, send_timeout_seconds)
        self._membership = Membership(grant, limits, last_event_id)
        self._is_active = False
        self._lock = threading.RLock()
        self._requested = topics if isinstance(topics, Requested) else None
        self._subscriptions = Subscriptions(topics, muted_topics, Rights(grant), hub.settings.max_topics_per_client)
        is_somebody = client_id is not None or grant.user_id is not None
        if is_somebody and topics is _EVERYTHING and grant._allowed is None:
            warnings.warn(_HEARS_EVERYTHING, NitroWarning, stacklevel=3)

    @property
    def topics(self) -> Written:
        """Its subscriptions: pattern → list of senders, or `ANY`."""
        return self._subscriptions.topics

    @property
    def muted_topics(self) -> list[str]:
        """The patterns that it never hears."""
        return self._subscriptions.mutes

    @property
    def interest(self) -> Interest:
        """What it hears."""
        return self._subscriptions.interest

    @property
    def asked(self) -> Sequence[str]:
        """The patterns that a request asked for itself, a stranger's."""
        return () if self._requested is None else tuple(self._requested)

    @property
    def user_id(self) -> str | None:
        """For whom it listens; None if nobody said."""
        return self._membership.user_id

    @property
    def is_connected(self) -> bool:
        """Whether it hears what is emitted now."""
        return self._membership.is_active

    def connect(self) -> Self:
        """Start to hear events; nothing happens if it is connected. It can connect again after it was ended.

        Raises:
            TooManyClients: a limit is reached (`NITRO_MAX_CLIENTS…`, `NITRO_MAX_CONNECTS_PER_SECOND`).
            NotAuthenticated: its rights have expired, or are older than a `disconnect_user` of its user.
        """
        get_hub().sweep()  # whoever is gone with its loop takes nobody's slot
        with self._lock:
            if self.is_connected:
                return self
            outbox = self._membership.join(self.interest, self._on_ended, self.address, self.asked)
            active_clients._add(self)
            self._is_active = True
            self._membership.catch_up()
        try:
            emit(client_event, "system", action="connect", client=self)
        except BaseException:  # none that a handler may raise and that is logged: the process is being ended
            self.disconnect()
            raise
        if outbox.is_ended or self._membership.was_disconnected:
            self.disconnect()  # the process ends, a handler wants it away, or its rights are from before a order
        return self

    def disconnect(self, *, stop: bool = False) -> Self:
        """Stop hearing events and end `stream()` at once; nothing happens if it is not connected.

        Args:
            stop: tell the browser behind an `EventSourceResponse` not to come back. Its next request is answered
                with 204, which ends an `EventSource` for good; without it, it reconnects.
        """
        with self._lock:
            self._membership.leave(for_good=stop)
            was_active, self._is_active = self._is_active, False
            active_clients._remove(self)
        get_hub().run_deferred()
        if was_active:
            emit(client_event, "system", action="disconnect", client=self)
        return self

    def send(self, item: Any) -> bool:
        """Send `item` to this client alone, in order with the events that it hears.

        Returns:
            True if it was handed over, False if the client is not connected.

        Raises:
            InvalidPayload, PayloadTooLarge: `item` can't be sent.
        """
        message = Message("", None, encode(item, get_hub().settings.max_payload_bytes), None)
        with self._lock:
            return self._membership.send(message)

    async def stream(self, delay: float = 0.1) -> AsyncGenerator[Any, None]:
        """The results of the events that it hears, one by one, until it is disconnected.

        Objects and arrays format as JSON, so `f"data: {data}\\n\\n"` is what the page's `JSON.parse` takes.
        Each client gets its own copy.

        Args:
            delay: the longest that it would wait, in seconds, before it looks whether it is still connected.
                It is woken at once by everything that happens, so this costs no time and no timer runs.

        Raises:
            NotConnected: it was never connected.
        """
        if not delay > 0:
            raise ValueError(f"delay is a number of seconds above 0, not {delay!r}")
        reader = Reader(self.open_outbox())
        while await reader.has_more():
            while (message := reader.take()) is not None:
                if isinstance(message, Gap):
                    log.warning("a gap (%s) in what %r hears; messages() tells of them", message.reason, self)
                else:
                    yield decode(message.payload)

    async def messages(self) -> AsyncGenerator[Message | Gap, None]:
        """As `stream()`, with each event's topic and id beside its data; and a `Gap` where something is missing."""
        reader = Reader(self.open_outbox())
        while await reader.has_more():
            while (message := reader.take()) is not None:
                yield message

    def greeting(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """What a response tells the browser client of a stream: `for`, whom it is for, where the server decides that;
        and `topics`, how many were asked for, where some of them stood in a header and were read.
        """
        asked, greeting = self._requested, dict[str, Any]()
        outbox = self._membership.outbox
        chain = None if outbox is None else outbox.chain
        interest = self.interest if chain is None else chain.interest
        whom = audience(self.user_id, interest, asked_patterns(scope) if asked is None else frozenset(asked))
        if whom is not None:
            greeting["for"] = whom
        if asked is not None and asked.in_header:
            greeting["topics"] = len(asked)
        return greeting

    def subscribe(self, topic: str | AnyType, senders: Senders = ANY) -> Self:
        """Hear `topic` too, from the senders named, from now on.

        Raises:
            InvalidTopic, TopicTypeError, TooManyTopics, AccessDenied: and the client stays as it was.
        """
        return self._change(self._subscriptions.add, topic, senders)

    def unsubscribe(self, topic: str | AnyType) -> Self:
        """Drop the subscription that was written so; other patterns that match the same stay."""
        return self._change(self._subscriptions.remove, topic)

    def mute(self, topic: str) -> Self:
        """Stop hearing what `topic` matches, whatever is subscribed."""
        return self._change(self._subscriptions.mute, topic)

    def unmute(self, topic: str) -> Self:
        """Drop the mute that was written so."""
        return self._change(self._subscriptions.unmute, topic)

    def grant(self, topic: str | AnyType, senders: Senders = ANY) -> Self:
        """Allow `topic`, of the senders named, from now on. It undoes a `revoke` that was written so, and no `denied`.

        It changes nothing of what is subscribed, but for a client that asked for `ANY`, which means all that is
        allowed. Where nothing was said to be `allowed`, everything is.

        Raises:
            InvalidTopic, TopicTypeError, TooManyTopics: and the client stays as it was.
        """
        return self._change(self._subscriptions.grant, topic, senders)

    def revoke(self, topic: str | AnyType) -> Self:
        """Deny `topic` from now on, whatever is allowed: nothing that it matches is heard any more, not even what was
        emitted before and still waits, or is to be replayed.
        """
        return self._change(self._subscriptions.revoke, topic)

    def _change(self, change: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> Self:
        with self._lock:
            change(*arguments, **named)
            self._membership.change(self.interest)
        return self

    def reserve_slot(self) -> None:
        """Be counted before `connect`, for responses that wait; raises TooManyClients."""
        with self._lock:
            if not self.is_connected:
                self._membership.reserve_slot(self.address, self.asked, waits=True)

    def release_slot(self) -> None:
        """It won't connect, after `reserve_slot`."""
        with self._lock:
            self._membership.release_reserved()

    def count_answer(self) -> None:
        """For responses that connect nobody: be counted as if it connected. Raises TooManyClients."""
        get_hub().admission.count_answer(self.user_id, self.address, self.asked)

    def has_current_rights(self) -> bool:
        """For the same: whether `connect` would. Raises NotAuthenticated, as it does."""
        self._membership.check_rights()
        return not self._membership.was_disconnected

    def resume(self, last_event_id: str) -> None:
        """Begin behind that message when it connects, or now, if nothing was read yet. A browser knows it best."""
        with self._lock:
            self._membership.resume(last_event_id)

    def open_outbox(self) -> Outbox:
        """What waits for it, to be read in the running loop; for responses. Raises NotConnected, as `stream()`."""
        with self._lock:
            outbox = self._membership.adopted(self._on_ended)
        if self._membership.is_over:  # in a thread without a loop there was no timer
            self.disconnect()
        drain_on_signals(get_hub().servers_of(outbox))
        return outbox

    def close_outbox(self, outbox: Outbox) -> None:
        """Disconnect if `outbox` is still the one it listens by; for responses that end."""
        if self._membership.outbox is outbox:
            self.disconnect()

    def _on_ended(self) -> None:
        """The delivery ended an outbox of this client; an older one is no reason to end the newest."""
        if not self.is_connected:
            self.disconnect()

    def _start_anew(self) -> None:
        self._membership.start_anew()
        self._is_active = False
        self.streamed = None
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        return f"<Client {self.client_id!a:.60} {state}, topics {list(self.topics)}>"


_HEARS_EVERYTHING: Final = (
    "this Client has an id or a user, and hears every event, since nothing says what it hears (its first argument is "
    "its id). Name its topics, Client(topics=['todo.*']), or say that all of them are meant, Client(topics=ANY)"
)


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


active_clients: Final[ActiveClients[Client]] = ActiveClients()

if hasattr(os, "register_at_fork"):  # a child has none of its parent's connections
    os.register_at_fork(after_in_child=active_clients._forget)
