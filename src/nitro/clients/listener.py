"""Listener: one place in the delivery, from `connect()` to `disconnect()`, whatever it hears. And who is connected.

Fed by an outbox of the delivery; read by `stream()`, `messages()` or an `EventSourceResponse`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from nitro.access.admission import Admission, Slot
from nitro.clients.active import ActiveClients
from nitro.clients.grant import Grant
from nitro.delivery.interest import Interest
from nitro.delivery.limits import Limits
from nitro.delivery.outbox import Outbox
from nitro.delivery.process import get_hub
from nitro.delivery.reader import Reader
from nitro.errors import NotAuthenticated, NotConnected
from nitro.events.emitting import emit
from nitro.events.event import event
from nitro.events.payload import decode, encode
from nitro.messages.message import Gap, Message
from nitro.sse.drain import drain_on_signals

__all__ = ["Listener", "active_clients", "client_event"]

log = logging.getLogger("nitro.events")

client_event: Final = event(
    "client_lifecycle", "Emitted by the sender 'system' with action='connect' or 'disconnect', and client."
)


class Listener:
    """Base of `Client`, which says what is heard.

    Attributes:
        client_id: its key in `active_clients`.
        address: from where it is connected, for the limit for each address.
        streamed: what a response streams to its browser now; None if there is none.
    """

    __slots__ = (
        "__weakref__",
        "_grant",
        "_is_active",
        "_is_slot_reserved",
        "_last_event_id",
        "_limits",
        "_lock",
        "_outbox",
        "_principal",
        "_slot",
        "address",
        "client_id",
        "streamed",
    )

    def __init__(
        self, client_id: str, grant: Grant, limits: Limits, address: str | None, last_event_id: str | None
    ) -> None:
        self.client_id = client_id
        self.address = address
        self.streamed: Outbox | None = None
        self._grant = grant
        self._principal = grant.principal
        self._limits = limits
        self._last_event_id = last_event_id
        self._slot: tuple[Admission, Slot] | None = None
        self._is_slot_reserved = False
        self._outbox: Outbox | None = None
        self._is_active = False
        self._lock = threading.RLock()
        self._check_expiry()

    @property
    def interest(self) -> Interest:
        """What it hears."""
        raise NotImplementedError

    @property
    def asked(self) -> Sequence[str]:
        """The patterns that a request asked for itself, a stranger's."""
        return ()

    @property
    def user_id(self) -> str | None:
        """For whom it listens; None if nobody said."""
        return self._principal.user_id

    @property
    def is_connected(self) -> bool:
        """Whether it hears what is emitted now."""
        return self._outbox is not None and not self._outbox.is_ended

    def connect(self) -> Self:
        """Start to hear events; nothing happens if it is connected. It can connect again after it was ended.

        Raises:
            TooManyClients: a limit is reached (`NITRO_MAX_CLIENTS…`, `NITRO_MAX_CONNECTS_PER_SECOND`).
            NotAuthenticated: its rights have expired, or are older than a `disconnect_user` of its user.
        """
        hub = get_hub()
        hub.sweep()  # whoever is gone with its loop takes nobody's slot
        with self._lock:
            if self.is_connected:
                return self
            self._check_rights()
            self._reserve_slot(waits=False)
            try:
                self._outbox = outbox = hub.join(self.interest, self._on_ended, self._limits, self._principal)
            except BaseException:
                self._release_slot()
                raise
            active_clients._add(self)
            self._is_active = True
            last_event_id, self._last_event_id = self._last_event_id, None
            if last_event_id:
                hub.resume(outbox, last_event_id)
        try:
            emit(client_event, "system", action="connect", client=self)
        except BaseException:  # none that a handler may raise and that is logged: the process is being ended
            self.disconnect()
            raise
        if outbox.is_ended or hub.admission.was_disconnected(self.user_id, self._grant.read_at):
            self.disconnect()  # the process ends, a handler wants it away, or its rights are from before a order
        return self

    def reserve_slot(self) -> None:
        """Be counted before `connect`, for responses that wait; raises TooManyClients."""
        with self._lock:
            if not self.is_connected:
                self._reserve_slot(waits=True)

    def release_slot(self) -> None:
        """It won't connect, after `reserve_slot`."""
        with self._lock:
            if self._is_slot_reserved:
                self._release_slot()

    def count_answer(self) -> None:
        """For responses that connect nobody: be counted as if it connected. Raises TooManyClients."""
        get_hub().admission.count_answer(self.user_id, self.address, self.asked)

    def has_current_rights(self) -> bool:
        """For the same: whether `connect` would. Raises NotAuthenticated, as it does."""
        self._check_rights()
        return not get_hub().admission.was_disconnected(self.user_id, self._grant.read_at)

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
            self._release_slot()
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
        """As `stream()`, with each event's topic and id beside its data; and a `Gap` where something is missing."""
        reader = Reader(self.open_outbox())
        while await reader.has_more():
            while (message := reader.take()) is not None:
                yield message

    def resume(self, last_event_id: str) -> None:
        """Begin behind that message when it connects, or now, if nothing was read yet. A browser knows it best."""
        with self._lock:
            if self._outbox is not None and self.is_connected:
                get_hub().resume(self._outbox, last_event_id)
            else:
                self._last_event_id = last_event_id

    def open_outbox(self) -> Outbox:
        """What waits for it, to be read in the running loop; for responses. Raises NotConnected, as `stream()`."""
        hub = get_hub()
        with self._lock:
            outbox = self._outbox
            if outbox is None:
                raise NotConnected("connect the client before it is read: `with client:` around the loop does it")
            hub.adopt(outbox, self._on_ended)
        if self._is_over:  # in a thread without a loop there was no timer
            self.disconnect()
        drain_on_signals(hub.servers_of(outbox))
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
        self._slot = None
        self._is_slot_reserved = False
        self._is_active = False
        self.streamed = None
        self._lock = threading.RLock()

    @property
    def _is_over(self) -> bool:
        expires_at = self._principal.expires_at
        return expires_at is not None and expires_at <= time.monotonic()

    def _check_expiry(self) -> None:
        if self._is_over:
            raise NotAuthenticated("the rights of this client have expired; let its user log in again")

    def _check_rights(self) -> None:
        self._check_expiry()
        if get_hub().admission.is_outdated(self.user_id, self._grant.read_at):
            raise NotAuthenticated("these rights are older than an order to end this user's streams; log in again")

    def _reserve_slot(self, *, waits: bool) -> None:
        if not self._is_slot_reserved:
            self._release_slot()
            admission = get_hub().admission
            self._slot = (admission, admission.admit(self.user_id, self.address, self.asked))
        self._is_slot_reserved = waits

    def _release_slot(self) -> None:
        self._is_slot_reserved = False
        if self._slot is not None:
            (admission, slot), self._slot = self._slot, None
            admission.leave(slot)

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()


active_clients: Final = ActiveClients()

if hasattr(os, "register_at_fork"):  # a child has none of its parent's connections
    os.register_at_fork(after_in_child=active_clients._forget)
