"""The follower: turns a log's entries into messages, delivered once and in order, and announces every hole as a gap.

Fed by the log broker's reader with the entries it read; fills the history and feeds the hub.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from nitro.brokers import codec
from nitro.brokers.base import NOWHERE, Entry, Extent, Receiver
from nitro.brokers.history import History
from nitro.brokers.idempotency import IdempotencyKeys
from nitro.brokers.own_entries import OwnEntries
from nitro.messages.message import UNKNOWN_STAMP, GapReason, Message, Position
from nitro.messages.user_disconnect import USER_DISCONNECT

__all__ = ["Follower"]

log: Final = logging.getLogger("nitro.brokers")

_ENTRIES_A_LOCK: Final = 64
"""How many entries are delivered before the lock is released for emitters."""


class Follower:
    """A reader's position in the log, and the entry that it read there.

    Args:
        history: receives every message.
        lock: held while the history changes, and while the receiver is called.
        max_payload_bytes: a longer payload is skipped, and announced as a gap.

    Attributes:
        is_open: the log was reached once, and the history holds what it retained then.
        idempotency_keys: those of the entries read so far.
        own: this process's own entries, which must appear in the log.
        skipped: how many entries could not be delivered.
    """

    def __init__(self, history: History, lock: threading.RLock, max_payload_bytes: int) -> None:
        self.history = history
        self.idempotency_keys: IdempotencyKeys = IdempotencyKeys(history.max_messages, history.max_age_seconds)
        self.own: OwnEntries = OwnEntries()
        self.is_open: bool = False
        self.skipped: int = 0
        self._receiver: Receiver
        self._lock = lock
        self._max_payload_bytes = max_payload_bytes
        self._has_taken = False
        self._newest_body: bytes | None = None
        self._missing_behind = -1

    def start(self, receiver: Receiver) -> None:
        """Deliver to `receiver` every message appended after the log was first reached, and, of those that it retained
        then, Nitro's own.
        """
        self._receiver = receiver

    @property
    def epoch(self) -> str:
        """Epoch of the log."""
        return self.history.head.epoch

    @property
    def sequence(self) -> int:
        """Sequence of the newest entry that was read."""
        return self.history.head.sequence

    def has_lost(self, last: Sequence[Entry]) -> bool:
        """Whether a reopened log has another entry at our sequence; `last` is what it has there now."""
        if not self._has_taken:
            return False
        return any(entry.sequence == self.sequence and entry.body != self._newest_body for entry in last)

    def go_on_in(self, extent: Extent, max_messages: int) -> None:
        """Resume in this log at our position, or, if that is impossible, behind what was lost, which becomes a gap.

        Raises:
            ValueError: the extent is invalid, so no client could resume from a position in that log.
        """
        head = Position(extent.epoch, extent.newest, UNKNOWN_STAMP)
        if Position.parse(str(head)) != head or not 1 <= extent.oldest <= extent.newest + 1:
            raise ValueError(f"it reports the invalid extent {extent!a:.200}")
        behind_the_lost = Position(extent.epoch, extent.oldest - 1, UNKNOWN_STAMP)
        with self._lock:
            if self.is_open:
                if self.epoch != extent.epoch:
                    self.idempotency_keys.clear()
                    self._lose("epoch", behind_the_lost)
                elif self.sequence < extent.oldest - 1:
                    self._lose("expired", behind_the_lost)
                return
            # Retained messages fill the history; no client has a position yet.
            if extent.oldest > extent.newest:
                start = head._replace(stamp=codec.stamp_of(extent.begin))
            else:  # with one more, which marks the oldest position
                start = max(behind_the_lost, head._replace(sequence=extent.newest - max_messages - 1))
            if self.epoch != extent.epoch or self.sequence < start.sequence:  # else an earlier attempt has filled some
                self.history.begin(start)
                self.idempotency_keys.clear()
                self._has_taken, self._missing_behind = False, -1

    def begin(self) -> None:
        """The history is filled. Clients that connected earlier have no position, and are told of a gap."""
        with self._lock:
            if not self.is_open:
                self.is_open = True
                self._receiver.lose("epoch", self.history.head)
        self._receiver.run_deferred()

    def take(self, entries: Sequence[Entry]) -> None:
        """Process the entries behind our position; stops at one that replaces this process's own, or at a new hole."""
        epoch = self.epoch
        decoded = [(entry, *self._decode(entry, epoch)) for entry in entries]
        for start in range(0, len(decoded), _ENTRIES_A_LOCK):
            with self._lock:
                is_whole = self._take_some(decoded[start : start + _ENTRIES_A_LOCK], epoch)
            self._receiver.run_deferred()
            if not is_whole:
                return

    def _take_some(self, decoded: Sequence[tuple[Entry, Message | None, bool]], epoch: str) -> bool:
        """Process entries up to a new hole or a replaced own entry; whether all were processed."""
        for place, (entry, message, is_lost) in enumerate(decoded):
            if entry.sequence <= self.sequence:
                continue
            if entry.sequence > self.sequence + 1 and not self._confirm_hole(epoch, entry.sequence):
                return False
            if self.own.is_missing_at(entry):
                return False
            self._accept(entry, message)
            if is_lost and not (place + 1 < len(decoded) and decoded[place + 1][2]):  # one gap per run
                self._lose("expired", self.history.head)
        return True

    def _accept(self, entry: Entry, message: Message | None) -> None:
        self._has_taken, self._newest_body = True, entry.body
        if message is None or self._was_published(entry):
            self.history.skip(Position(self.epoch, entry.sequence, codec.stamp_of(entry.body)))
        elif self.is_open:
            self.history.append(message)
            self._receiver.deliver(message)
        else:
            self.history.append(message, entry.age_seconds)
            if message.topic == USER_DISCONNECT:
                self._receiver.deliver(message)

    def _was_published(self, entry: Entry) -> bool:
        idempotency_key = None if entry.body is None else codec.idempotency_key_of(entry.body)
        return idempotency_key is not None and not self.idempotency_keys.is_new(idempotency_key, entry.sequence)

    def _confirm_hole(self, epoch: str, sequence: int) -> bool:
        """Announce the hole before `sequence` if it was there at the last read too; whether it was."""
        if self._missing_behind != self.sequence:
            self._missing_behind = self.sequence
            return False
        self._lose("expired", Position(epoch, sequence - 1, UNKNOWN_STAMP))
        return True

    def _lose(self, reason: GapReason, resumed_at: Position) -> None:
        self.own.forget(resumed_at.sequence if resumed_at.epoch == self.epoch else None)
        self.history.begin(resumed_at)
        self._has_taken = False
        self._missing_behind = -1
        if self.is_open:
            self._receiver.lose(reason, resumed_at)

    def _decode(self, entry: Entry, epoch: str) -> tuple[Message | None, bool]:
        """The message of an entry, or None; and whether it may be an event that can't be delivered."""
        try:
            if entry.body is None:
                raise codec.Unreadable("it is too long")
            position = Position(epoch, entry.sequence, codec.stamp_of(entry.body))
            return codec.decode(entry.body, position, self._max_payload_bytes), False
        except ValueError as error:
            is_lost = isinstance(error, codec.Unreadable)
            if not self.skipped:
                reason = str(error).encode("ascii", "backslashreplace").decode()[:200]
                log.warning(
                    "entry %d of the log %s: %s. It is skipped. Further ones are skipped without a warning; "
                    "nitro.statistics() counts them",
                    entry.sequence,
                    "can't be delivered, and clients are told of a gap" if is_lost else "is not a Nitro message",
                    reason,
                )
            self.skipped += 1
            return None, is_lost

    def __repr__(self) -> str:
        where = self.history.head if self.is_open else NOWHERE
        return f"<Follower at {where}, {self.skipped} entries skipped>"
