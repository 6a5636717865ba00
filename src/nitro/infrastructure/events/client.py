"""Client: one listener with its topics, from `connect()` to `disconnect()`. And who is connected right now.

Fed by an outbox of the delivery; read by `stream()`, `messages()` or an `EventSourceResponse`.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Any, Final, Self

from nitro.domain.message import Gap, Message
from nitro.errors import NotConnected
from nitro.infrastructure.delivery.limits import Overflow
from nitro.infrastructure.delivery.outbox import Outbox
from nitro.infrastructure.delivery.process import get_hub
from nitro.infrastructure.delivery.reader import Reader
from nitro.infrastructure.events.active import ActiveClients
from nitro.infrastructure.events.emitting import emit
from nitro.infrastructure.events.events import event
from nitro.infrastructure.events.payload import decode, encode
from nitro.infrastructure.events.sender import ANY
from nitro.infrastructure.events.subscriptions import Subscriptions
from nitro.infrastructure.sse.drain import drain_on_signals
from nitro.settings import get_settings

__all__ = ["Client", "active_clients", "client_event"]

log = logging.getLogger("nitro.events")

client_event: Final = event(
    "client_lifecycle", "Emitted by the sender 'system' with action='connect' or 'disconnect', and client."
)


class Client:
    """Hears the events that its topics name, between `connect()` and `disconnect()`.

    ```python
    with Client(topics=["todo.*"]) as client:
        async for data in client.stream():
            ...
    ```

    Args:
        client_id: its key in `active_clients`; a UUID if None. Of two connected clients with the same id,
            `active_clients` holds the one that connected last.
        topics: a topic or pattern, a list of them, or a dict of pattern → senders, or `ANY` (or `"ANY"`) for
            everything. `*` in a pattern stands for one or more characters, dots included. A sender is a
            string or an object with an `id`.
        muted_topics: topics or patterns never to hear, whatever `topics` says; `ANY` mutes nothing.
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
        ConfigurationError: a limit that makes no sense.
    """

    __slots__ = (
        "__weakref__",
        "_is_active",
        "_last_event_id",
        "_limits",
        "_lock",
        "_outbox",
        "_subscriptions",
        "client_id",
    )

    def __init__(
        self,
        client_id: str | None = None,
        topics: Any = ("ANY",),
        muted_topics: Any = ANY,
        *,
        last_event_id: str | None = None,
        max_messages: int | None = None,
        max_bytes: int | None = None,
        overflow: Overflow | None = None,
        send_timeout: float | None = None,
    ) -> None:
        if last_event_id is not None and not isinstance(last_event_id, str):
            raise TypeError(f"last_event_id is a string or None, not {type(last_event_id).__name__}")
        if client_id is not None and not isinstance(client_id, str):
            raise TypeError(f"client_id is a string or None, not {type(client_id).__name__}")
        self.client_id: str = str(uuid.uuid4()) if client_id is None else client_id
        self._subscriptions = Subscriptions(topics, muted_topics, get_settings().max_topics_per_client)
        self._outbox: Outbox | None = None
        self._last_event_id = last_event_id
        self._limits = get_hub().limits.but(max_messages, max_bytes, overflow, send_timeout)
        self._is_active = False
        self._lock = threading.RLock()

    @property
    def topics(self) -> dict[str, Any]:
        """Its subscriptions: pattern → list of senders, or `ANY`."""
        return self._subscriptions.topics

    @property
    def muted_topics(self) -> list[str]:
        """The patterns that it never hears."""
        return self._subscriptions.mutes

    @property
    def is_connected(self) -> bool:
        """Whether it hears what is emitted now."""
        return self._outbox is not None and not self._outbox.is_ended

    def subscribe(self, topic: str, senders: Any = ANY) -> Self:
        """Hear `topic` too, from the senders named, from now on.

        Raises:
            InvalidTopic, TopicTypeError, TooManyTopics: and the client stays as it was.
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

    def connect(self) -> Self:
        """Start to hear events; nothing happens if it is connected. It can connect again after it was ended."""
        with self._lock:
            if self.is_connected:
                return self
            self._outbox = outbox = get_hub().join(self._subscriptions.interest, self._on_ended, self._limits)
            active_clients._add(self)
            self._is_active = True
            last_event_id, self._last_event_id = self._last_event_id, None
            if last_event_id:
                self.resume(last_event_id)
        emit(client_event, "system", action="connect", client=self)
        if outbox.is_ended:  # the process ends, or a handler wants it away
            self.disconnect()
        return self

    def disconnect(self, *, stop: bool = False) -> Self:
        """Stop hearing events and end `stream()` at once; nothing happens if it is not connected.

        Args:
            stop: tell the browser behind an `EventSourceResponse` not to come back. Its next request is answered
                with 204, which ends an `EventSource` for good; without it, it reconnects.
        """
        with self._lock:
            if self._outbox is not None:
                get_hub().leave(self._outbox, for_good=stop)
            was_active, self._is_active = self._is_active, False
            active_clients._remove(self)
        get_hub().settle()
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
        hub = get_hub()
        message = Message("", None, encode(item, hub.settings.max_payload_bytes), None)
        with self._lock:
            if self._outbox is None or self._outbox.is_ended:
                return False
            hub.send(self._outbox, message)
            return not self._outbox.is_ended

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
        """As `stream()`, with each event's topic and id beside its data; and a `Gap` where something is missing.

        Raises:
            NotConnected: it was never connected.
        """
        reader = Reader(self.open_outbox())
        while await reader.has_more():
            while (message := reader.take()) is not None:
                yield message

    def resume(self, last_event_id: str) -> None:
        """Begin behind the message with that id. It has to be connected, and nothing of it read; for responses."""
        with self._lock:
            if self._outbox is not None:
                get_hub().resume(self._outbox, last_event_id)

    def open_outbox(self) -> Outbox:
        """What waits for it, to be read in the running loop; for responses, applications use `stream()`.

        Raises:
            NotConnected: it was never connected, or on another event loop.
        """
        hub = get_hub()
        with self._lock:
            outbox = self._outbox
            if outbox is None:
                raise NotConnected("connect the client before it is read: `with client:` around the loop does it")
            hub.adopt(outbox, self._on_ended)
        drain_on_signals()
        return outbox

    def _on_ended(self) -> None:
        """The delivery ended an outbox of this client; an older one is no reason to end the newest."""
        if not self.is_connected:
            self.disconnect()

    def close_outbox(self, outbox: Outbox) -> None:
        """Disconnect if `outbox` is still the one it listens by; for responses that end."""
        if self._outbox is outbox:
            self.disconnect()

    def _start_anew(self) -> None:
        self._outbox = None
        self._is_active = False
        self._lock = threading.RLock()

    def _change(self, change: Callable[..., None], *arguments: Any) -> Self:
        with self._lock:
            change(*arguments)
            if self._outbox is not None and not self._outbox.is_ended:
                get_hub().change(self._outbox, self._subscriptions.interest)
        return self

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        return f"<Client {self.client_id} {state}, topics {list(self.topics)}>"


active_clients: Final = ActiveClients()

if hasattr(os, "register_at_fork"):  # a child has none of its parent's connections
    os.register_at_fork(after_in_child=active_clients._forget)
