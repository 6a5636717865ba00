"""Membership: the connection of a client to the hub, with its admission slot and its outbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from nitro.access.admission import Admission, Slot
from nitro.clients.attendee import Attendee
from nitro.clients.grant import Grant
from nitro.delivery.interest import Interest
from nitro.delivery.limits import Limits
from nitro.delivery.outbox import Outbox
from nitro.delivery.process import get_hub
from nitro.errors import NotAuthenticated, NotConnected
from nitro.messages.message import Message
from nitro.rooms.process import get_rooms

__all__ = ["Membership"]


class Membership:
    """Joins and leaves the hub for one client. Not thread-safe: the client holds its lock.

    Args:
        grant: the user, the end of the rights, and when they were read.
        limits: limits of the client's queue.
        last_event_id: id of the message after which it starts; None or empty to start with new messages.
        attendee: its user in rooms.

    Attributes:
        outbox: the client's outbox; None before it first joined.

    Raises:
        NotAuthenticated: the grant has expired.
    """

    __slots__ = (
        "_has_query",
        "_is_reserved",
        "_last_event_id",
        "_limits",
        "_principal",
        "_read_at",
        "_slot",
        "attendee",
        "outbox",
    )

    def __init__(self, grant: Grant, limits: Limits, last_event_id: str | None, attendee: Attendee) -> None:
        self.attendee: Attendee = attendee
        self._principal = grant.principal
        self._read_at = grant.read_at
        self._limits = limits
        self._last_event_id = last_event_id
        self._slot: tuple[Admission, Slot] | None = None
        self._is_reserved = False
        self._has_query = False
        self.outbox: Outbox | None = None
        self._check_expiry()

    @property
    def user_id(self) -> str | None:
        return self._principal.user_id

    @property
    def is_active(self) -> bool:
        """Whether it receives events now."""
        return self.outbox is not None and not self.outbox.is_ended

    @property
    def is_over(self) -> bool:
        """Whether the rights have expired."""
        expires_at = self._principal.expires_at
        return expires_at is not None and expires_at <= time.monotonic()

    @property
    def was_disconnected(self) -> bool:
        """Whether the user's clients were, or may have been, disconnected after the rights were read."""
        return get_hub().admission.was_disconnected(self.user_id, self._read_at)

    def check_rights(self) -> None:
        """Raises NotAuthenticated if the rights have expired, or are kept and older than a `disconnect_user`."""
        self._check_expiry()
        if get_hub().admission.is_outdated(self.user_id, self._read_at):
            raise NotAuthenticated(
                "these rights are older than an order to end this user's streams, or than what this process knows of "
                "such orders; get another ticket, or log in again"
            )

    def reserve_slot(self, address: str | None, asked: Sequence[str], *, waits: bool) -> None:
        """Take an admission slot; one taken with `waits` is kept for the next call. Raises TooManyClients."""
        if not self._is_reserved:
            self._release_slot()
            admission = get_hub().admission
            self._slot = (admission, admission.admit(self.user_id, address, asked))
        self._is_reserved = waits

    def release_reserved(self) -> None:
        """Release a slot that was taken with `waits`, if it hasn't joined."""
        if self._is_reserved:
            self._release_slot()

    def join(
        self, interest: Interest, on_ended: Callable[[], object], address: str | None, asked: Sequence[str]
    ) -> Outbox:
        """Join the hub with `interest`, and resume after the last event id, if there is one.

        Args:
            on_ended: called after the delivery has ended the outbox.
            address: the client's address.
            asked: the patterns that its request asked for.

        Raises:
            TooManyClients, NotAuthenticated: it has not joined.
        """
        self.check_rights()
        self.reserve_slot(address, asked, waits=False)
        try:
            self._has_query = interest.query is not None
            if interest.watched:
                get_rooms()
            self.outbox = get_hub().join(interest, on_ended, self._limits, self._principal)
            self.attendee.enter()
            self._catch_up(self.outbox)
        except BaseException:
            self.leave(for_good=False)
            raise
        return self.outbox

    def _catch_up(self, outbox: Outbox) -> None:
        """Resume after the last event id, if there is one; it is used once. A live query begins with all rows."""
        last_event_id, self._last_event_id = self._last_event_id, None
        if last_event_id:
            get_hub().resume(outbox, last_event_id)
        elif self._has_query:
            get_hub().begin(outbox)

    def resume(self, last_event_id: str) -> None:
        """Resume after that message: now if nothing was read yet, or when it joins."""
        if self.outbox is not None and self.is_active:
            get_hub().resume(self.outbox, last_event_id)
        else:
            self._last_event_id = last_event_id

    def change(self, interest: Interest) -> None:
        """Replace the interest, if it has joined."""
        if self.outbox is not None and self.is_active:
            if interest.watched:
                get_rooms()
            get_hub().change(self.outbox, interest)

    def send(self, message: Message) -> bool:
        """Send `message` to this client alone; False if it is not connected. Raises Overloaded."""
        if self.outbox is None or self.outbox.is_ended:
            return False
        get_hub().send(self.outbox, message)
        return not self.outbox.is_ended

    def adopted(self, on_ended: Callable[[], object]) -> Outbox:
        """The outbox, moved to the running loop. Raises NotConnected."""
        if self.outbox is None:
            raise NotConnected("connect the client before it is read: `with client:` around the loop does it")
        get_hub().adopt(self.outbox, on_ended)
        return self.outbox

    def leave(self, *, for_good: bool) -> None:
        """Leave the hub and release the slot; with `for_good` the browser is told not to reconnect."""
        if self.outbox is not None:
            get_hub().leave(self.outbox, for_good=for_good)
        self._release_slot()

    def start_anew(self) -> None:
        """Reset in a forked child, where it hasn't joined."""
        self.outbox = None
        self.attendee.start_anew()
        self._slot = None
        self._is_reserved = False

    def _check_expiry(self) -> None:
        if self.is_over:
            raise NotAuthenticated("the rights of this client have expired; let its user log in again")

    def _release_slot(self) -> None:
        self.attendee.leave()
        self._is_reserved = False
        if self._slot is not None:
            (admission, slot), self._slot = self._slot, None
            admission.leave(slot)

    def __repr__(self) -> str:
        return f"<Membership of {self.user_id!a:.60}, {self.outbox!r}>"
