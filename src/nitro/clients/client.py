"""Client: receives the events of its topics, from `connect()` to `disconnect()`.

Composed of its subscriptions, which define what it hears, and its membership, which connects it to the hub.
Read by `stream()`, `messages()` or an `EventSourceResponse`.
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
from typing import Any, Final, ParamSpec, Self, TypeVar, overload

from nitro.clients.active import ActiveClients
from nitro.clients.attendee import Attendee
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
from nitro.events.event import Event, event
from nitro.events.payload import decode, encode
from nitro.events.sender import ANY, AnyType, is_any
from nitro.messages.heard import Heard
from nitro.messages.identity import Identity
from nitro.messages.message import Gap, Message, check_event_id
from nitro.messages.reading import Reading
from nitro.settings import Overflow
from nitro.sse.drain import drain_on_signals

__all__ = ["Client", "active_clients", "client_event"]

log: Final = logging.getLogger("nitro.events")
P = ParamSpec("P")
S = TypeVar("S")

client_event: Final = event(
    "client_lifecycle", "Emitted by the sender 'system' with action='connect' or 'disconnect', and client."
)
"""Emitted in this process when a client connects or disconnects, with `action` and `client`; it is sent to nobody."""

_EVERYTHING: Final = tuple(map(str, [ANY]))
"""The default of `topics`; compared by identity, since an application may pass an equal `("ANY",)` on purpose."""


class Client:
    """Hears the events that match its topics, between `connect()` and `disconnect()`.

    ```python
    with Client(topics=["todo.*"]) as client:
        async for data in client.stream():
            ...
    ```

    Args:
        client_id: its key in `active_clients`; a UUID if None. Of two connected clients with the same id,
            `active_clients` has the one that connected last. A pattern is rejected: `Client("todo.*")` raises.
        topics: a topic or pattern, a list of them, or a dict of pattern → senders, or `ANY` (or `"ANY"`) for
            everything. `*` in a pattern matches one or more characters, including dots. A sender is a
            string or an object with an `id`.
        muted_topics: topics or patterns that are never heard; takes precedence over `topics`. `ANY` mutes nothing.
        allowed: what it may hear: topics or patterns, or a dict of those → senders. Each of `topics` has to be
            contained in one of them, and each message is checked again, live and replayed. `topics=ANY` then means
            all of them. With None, `topics` are trusted; those of `requested_topics` need a value, which may be `ANY`.
        denied: the same; takes precedence over `allowed`.
        user_id: the user, for `nitro.disconnect_user` and the limits per user: an id, or an object that has one.
        address: the client's address, for the limits per address; a response sets it. A port is ignored, and anything
            but an IP address is not limited.
        expires_at: when its rights end, and its stream with them: an aware datetime, or seconds since 1970.
        grant: a `nitro.Grant`, instead of the arguments `allowed`, `denied`, `user_id` and `expires_at`.
        last_event_id: id of the last message that it received, or a `nitro.position()`: once connected, it gets the
            messages since then, or a `Gap` if they are not retained. Untrusted values are safe: an invalid one results
            in a gap. None or an empty one starts with new messages.
        max_messages, max_bytes: limits of its queue; `NITRO_CLIENT_MAX_…` if None.
        overflow: the policy when a limit is exceeded. `"disconnect"`: it is disconnected, and a browser reconnects and
            resumes. `"drop_oldest"`: the newest half of the limit is kept. `"latest"`: only the newest message of each
            topic, or of each value of the event's `latest_by`, is kept. Dropped messages are reported by a `Gap`.
            `NITRO_CLIENT_OVERFLOW` if None.
        send_timeout_seconds: how long a write may block before it is disconnected; `NITRO_SEND_TIMEOUT_SECONDS` if
            None.
        presence: a room, or several, in which its user is while it is connected, and some seconds longer. Rooms are
            named as topics are; who subscribes to `presence.<room>` hears who is there. It needs a user.
        state: what the others get of the user there: what JSON can hold, at most 1 KiB. The newest of a user's clients
            wins; None says nothing.

    Attributes:
        client_id: its key in `active_clients`.
        address: its address.
        streamed: the outbox that a response streams now; None if there is none.

    Raises:
        InvalidTopic, TopicTypeError: a topic breaks the grammar.
        TooManyTopics: more than `NITRO_MAX_TOPICS_PER_CLIENT`.
        AccessDenied: one of `topics` is not contained in `allowed`, or is `denied`.
        NotAuthenticated: `expires_at` has passed.
        ConfigurationError: a limit is invalid, `requested_topics` are used without `allowed`, or `grant` together with
            the arguments that it replaces; `presence` without a user, or a `state` without `presence`.
        InvalidPayload, PayloadTooLarge: the `state` can't be sent.
        ArgumentTypeError: `grant` is no Grant, or `last_event_id` no string.

    Warns:
        NitroWarning: it has an id or a user but neither topics nor rights, so it hears everything.
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
        presence: str | Sequence[str] | None = None,
        state: Any = None,
        grant: Grant | None = None,
    ) -> None:
        check_event_id(last_event_id, "last_event_id")
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
        self._membership = Membership(grant, limits, last_event_id, Attendee(presence, state, grant.user_id))
        self._is_active = False
        self._lock = threading.RLock()
        self._requested = topics if isinstance(topics, Requested) else None
        self._subscriptions = Subscriptions(topics, muted_topics, Rights(grant), hub.settings.max_topics_per_client)
        has_identity = client_id is not None or grant.user_id is not None
        if has_identity and topics is _EVERYTHING and grant._allowed is None:
            warnings.warn(_HEARS_EVERYTHING, NitroWarning, stacklevel=3)

    @property
    def topics(self) -> Written:
        """Its subscriptions: pattern → list of senders, or `ANY`."""
        return self._subscriptions.topics

    @property
    def muted_topics(self) -> list[str]:
        """Its muted patterns."""
        return self._subscriptions.mutes

    @property
    def interest(self) -> Interest:
        """Its subscriptions, mutes and rights, frozen."""
        return self._subscriptions.interest

    @property
    def asked(self) -> Sequence[str]:
        """The patterns that its request asked for; untrusted."""
        return () if self._requested is None else tuple(self._requested)

    @property
    def user_id(self) -> str | None:
        """Its user; None without one."""
        return self._membership.user_id

    @property
    def is_connected(self) -> bool:
        """Whether it receives events now."""
        return self._membership.is_active

    def connect(self) -> Self:
        """Start to receive events; does nothing if it is connected. A disconnected client can connect again.

        Raises:
            TooManyClients: a limit is reached (`NITRO_MAX_CLIENTS…`, `NITRO_MAX_CONNECTS_PER_SECOND`).
            NotAuthenticated: its rights have expired, or are older than a `disconnect_user` of its user.
        """
        get_hub().sweep()  # release the slots of clients whose loop is closed
        with self._lock:
            if self.is_connected:
                return self
            outbox = self._membership.join(self.interest, self._on_ended, self.address, self.asked)
            active_clients._add(self)
            self._is_active = True
        try:
            emit(client_event, "system", action="connect", client=self)
        except BaseException:  # not an error of a handler, which is logged: the process is ending
            self.disconnect()
            raise
        if outbox.is_ended or self._membership.was_disconnected:
            self.disconnect()  # the process ends, a handler disconnected it, or its rights are older than an order
        return self

    def disconnect(self, *, stop: bool = False) -> Self:
        """Stop receiving events and end `stream()` at once; does nothing if it is not connected.

        Args:
            stop: tell the browser of an `EventSourceResponse` not to reconnect: its next request is answered with 204,
                which closes an `EventSource` for good. By default it reconnects.
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
            True if it was queued, False if the client is not connected.

        Raises:
            InvalidPayload, PayloadTooLarge: `item` can't be sent.
        """
        message = Message("", None, encode(item, get_hub().settings.max_payload_bytes), None)
        with self._lock:
            return self._membership.send(message)

    def set_state(self, state: Any) -> None:
        """Let the others in its rooms get another state of its user, None for no more; see `state` of `Client`.

        Raises:
            ConfigurationError: it is in no room.
            InvalidPayload, PayloadTooLarge: `state` can't be sent.
        """
        with self._lock:
            self._membership.attendee.set_state(state)

    async def stream(self, delay: float = 0.1) -> AsyncGenerator[Any, None]:
        """The results of the events that it hears, one by one, until it is disconnected.

        Objects and arrays format as JSON, so a page can parse `f"data: {data}\\n\\n"` by `JSON.parse`.
        Each client gets its own copy.

        A client has one reader: a second `stream()` or `messages()` of it ends the first, without an error. Make a
        client for each reader. Who leaves the loop leaves the client connected, and may read on: `with client:` around
        it disconnects.

        Args:
            delay: seconds, above 0. Has no effect, since the reader is woken at once; kept for compatibility.

        Raises:
            NotConnected: it was never connected.
        """
        if not delay > 0:
            raise ConfigurationError(f"delay is a number of seconds above 0, not {delay!r}")
        reader = self._reader()
        while await reader.has_more():
            while (message := reader.take()) is not None:
                if isinstance(message, Gap):
                    log.warning("a gap (%s) in the stream of %r; messages() returns gaps", message.reason, self)
                else:
                    yield decode(message.payload)

    @overload
    def messages(self, as_: None = None) -> AsyncGenerator[Message | Gap, None]: ...

    @overload
    def messages(self, as_: Event[Any, S] | Iterable[Event[Any, S]]) -> AsyncGenerator[Heard[S] | Gap, None]: ...

    def messages(self, as_: Event[Any, Any] | Iterable[Event[Any, Any]] | None = None) -> AsyncGenerator[Any, None]:
        """As `stream()`, but yields messages with topic, id and data, and a `Gap` where messages are missing.

        A second reader of a client ends the first, as with `stream()`.

        Args:
            as_: an event with a schema, or several: yields these events' messages alone, each a `Heard` whose `data`
                is what the schema makes of it. For one that isn't what the schema says, a `Gap` with the reason
                `"schema"`.

        Raises:
            NotConnected: it was never connected.
            ArgumentTypeError, ConfigurationError: `as_` is no event, or has no schema.
        """
        return self._messages() if as_ is None else self._typed(Reading(as_))

    async def _messages(self) -> AsyncGenerator[Message | Gap, None]:
        reader = self._reader()
        while await reader.has_more():
            while (message := reader.take()) is not None:
                yield message

    async def _typed(self, reading: Reading[S]) -> AsyncGenerator[Heard[S] | Gap, None]:
        reader = self._reader()
        while await reader.has_more():
            while (message := reader.take()) is not None:
                if isinstance(message, Gap):
                    yield message
                elif (heard := reading.read(message.topic, message.payload, message.id)) is not None:
                    if isinstance(heard, Gap):
                        reader.count(heard)
                    yield heard

    def greeting(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """What a response tells the browser client about the stream: `for`, its audience, if it has one; and `topics`,
        the number of requested topics, if some of them were in a header.
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
        """Subscribe to `topic` of these senders, too.

        Raises:
            InvalidTopic, TopicTypeError, TooManyTopics, AccessDenied: the client is unchanged.
        """
        return self._change(self._subscriptions.add, topic, senders)

    def unsubscribe(self, topic: str | AnyType) -> Self:
        """Remove the subscription to exactly this pattern; other patterns that match the same topics stay."""
        return self._change(self._subscriptions.remove, topic)

    def mute(self, topic: str) -> Self:
        """Mute what `topic` matches, whatever is subscribed."""
        return self._change(self._subscriptions.mute, topic)

    def unmute(self, topic: str) -> Self:
        """Remove the mute of exactly this pattern."""
        return self._change(self._subscriptions.unmute, topic)

    def grant(self, topic: str | AnyType, senders: Senders = ANY) -> Self:
        """Allow `topic` of these senders. It undoes a `revoke` of the same pattern; `denied` still applies.

        Subscriptions are unchanged, except for a client with `topics=ANY`, which is subscribed to all that is allowed.
        Without `allowed`, everything is allowed already.

        Raises:
            InvalidTopic, TopicTypeError, TooManyTopics: the client is unchanged.
        """
        return self._change(self._subscriptions.grant, topic, senders)

    def revoke(self, topic: str | AnyType) -> Self:
        """Deny `topic`, whatever is allowed: no matching message is delivered any more, including those that are queued
        or to be replayed.
        """
        return self._change(self._subscriptions.revoke, topic)

    def _change(self, change: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> Self:
        with self._lock:
            change(*arguments, **named)
            self._membership.change(self.interest)
        return self

    def reserve_slot(self) -> None:
        """Take an admission slot before `connect`, for responses that wait; raises TooManyClients."""
        with self._lock:
            if not self.is_connected:
                self._membership.reserve_slot(self.address, self.asked, waits=True)

    def release_slot(self) -> None:
        """Release the slot of `reserve_slot` if it won't connect."""
        with self._lock:
            self._membership.release_reserved()

    def count_answer(self) -> None:
        """Count in the connect rates, for responses that don't connect; raises TooManyClients."""
        get_hub().admission.count_answer(self.user_id, self.address, self.asked)

    def has_current_rights(self) -> bool:
        """Whether `connect` would accept its rights, for responses that don't connect; raises NotAuthenticated."""
        self._membership.check_rights()
        return not self._membership.was_disconnected

    def resume(self, last_event_id: str) -> None:
        """Resume after that message: now if nothing was read yet, or when it connects. For a browser's own id.

        Raises:
            ArgumentTypeError: it is no string.
        """
        check_event_id(last_event_id, "last_event_id")
        with self._lock:
            self._membership.resume(last_event_id)

    def open_outbox(self) -> Outbox:
        """The outbox, to be read in the running loop; for responses. Raises NotConnected, as `stream()`."""
        with self._lock:
            outbox = self._membership.adopted(self._on_ended)
        if self._membership.is_over:  # connected in a thread without a loop, it had no timer
            self.disconnect()
        return outbox

    def _reader(self) -> Reader:
        outbox = self.open_outbox()
        drain_on_signals(get_hub().servers_of(outbox))
        return Reader(outbox)

    def close_outbox(self, outbox: Outbox) -> None:
        """Disconnect if `outbox` is still the current one; for responses that end."""
        if self._membership.outbox is outbox:
            self.disconnect()

    def _on_ended(self) -> None:
        """Called when the delivery has ended an outbox of this client; ignored if that is not the current one."""
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
    "this Client has an id or a user, but neither topics nor rights, so it hears every event (its first argument is "
    "its id). Pass its topics, Client(topics=['todo.*']), or ask for all of them, Client(topics=ANY)"
)


def _check_id(client_id: object) -> None:
    """Raises if topics were passed as the id."""
    if client_id is None:
        return
    if not isinstance(client_id, str):
        wanted = f"a client_id is a string or None, not {type(client_id).__name__}"
        if isinstance(client_id, Iterable) or is_any(client_id):
            raise TopicTypeError(f"{wanted}; pass topics by name: Client(topics={client_id!a:.60})")
        raise ArgumentTypeError(wanted)
    if "*" in client_id or is_any(client_id):
        raise InvalidTopic(
            f"{client_id!a:.60} is a pattern, and the first argument of Client is its id; pass topics by name: "
            f"Client(topics=[{client_id!a:.60}])"
        )


active_clients: Final[ActiveClients[Client]] = ActiveClients()
"""The clients of this process that are connected, by their ids."""

if hasattr(os, "register_at_fork"):  # a child has none of its parent's connections
    os.register_at_fork(after_in_child=active_clients._forget)
