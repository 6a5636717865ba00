"""The messages of a key: what the NATS store writes, and how it is read back.

All messages of a key are in one subject, so the last one says what there is of it. The payload is the state, and the
record behind it; a header says what else there is, so that alarms can be followed by headers alone.
"""

from __future__ import annotations

import enum
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple

from nitro.streams.base import ABSENT, Commit, Record, Stored
from nitro.streams.stores.nats.subjects import LONG

__all__ = ["HEADER_BYTES", "Kind", "Message", "headers_of", "postponement"]

HEADER_BYTES: Final = 8 * 1024
"""Upper bound of a message's headers, which count towards the server's limit: a key may have 4,096 bytes."""
_HEAD: Final = "Nitro-Commit"
_KEY: Final = "Nitro-Key"
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_GONE_SECONDS: Final = 60
"""How long the message of a deletion stays, if who deleted the key doesn't delete it: it may have been killed."""


class Kind(enum.StrEnum):
    """What a message is."""

    RECORD = "record"  # a commit with a record
    STATE = "state"  # a commit without one
    ALARM = "alarm"  # the newest commit, with another alarm
    GONE = "gone"  # a deletion


class Message(NamedTuple):
    """One message of a key.

    Attributes:
        sequence: its place in the JetStream stream.
        kind: what it is.
        version: of the newest commit: of an alarm's one, or its own.
        previous: the version that it replaced.
        tail: as committed, if it has no record.
        state_bytes: how much of the payload is the state.
        alarm_at: as it is since.
        key: whose, if its subject doesn't say it.
        payload: state and record.
    """

    sequence: int
    kind: Kind
    version: int
    previous: int
    tail: int
    state_bytes: int
    alarm_at: float | None
    key: str | None
    payload: bytes

    @classmethod
    def of(cls, sequence: int, headers: Mapping[str, str], payload: bytes) -> Message:
        """The message that has these headers."""
        kind, before, tail, state_bytes, alarm_at = headers[_HEAD].split(" ")
        version = int(before) if kind == Kind.ALARM else sequence
        key = urlsafe_b64decode(headers[_KEY]).decode() if _KEY in headers else None
        alarm = None if alarm_at == "-" else float(alarm_at)
        return cls(sequence, Kind(kind), version, int(before), int(tail), int(state_bytes), alarm, key, payload)

    @property
    def current(self) -> int:
        """The version of the key since; `ABSENT` if it is deleted."""
        return ABSENT if self.kind is Kind.GONE else self.version

    @property
    def is_superfluous(self) -> bool:
        """Whether nobody needs it when there is a newer one."""
        return self.kind is not Kind.RECORD

    @property
    def stored(self) -> Stored | None:
        """What there is of the key since; None if it is deleted."""
        if self.kind is Kind.GONE:
            return None
        tail = self.version if self.kind is Kind.RECORD else self.tail
        return Stored(self.version, tail, self.payload[: self.state_bytes], self.alarm_at)

    @property
    def record(self) -> Record | None:
        """The record, if it has one."""
        return Record(self.version, self.payload[self.state_bytes :]) if self.kind is Kind.RECORD else None


def headers_of(commit: Commit, subject: str, last: int) -> dict[str, str]:
    """The headers of a commit that is only accepted behind the message `last` of its subject."""
    if commit.state is None:
        head = f"{Kind.GONE} {commit.expected} 0 0 -"
        # The rollup deletes all that was in the subject, together with storing this.
        more = {"Nats-Rollup": "sub", "Nats-TTL": f"{_GONE_SECONDS}s"}
    else:
        kind = Kind.STATE if commit.body is None else Kind.RECORD
        head = f"{kind} {commit.expected} {commit.tail} {len(commit.state)} {_text(commit.alarm_at)}"
        more = {}
    return {_EXPECTED: str(last), _HEAD: head, **_key_of(commit.key, subject), **more}


def postponement(key: str, subject: str, newest: Message, to: float) -> dict[str, str]:
    """The headers of the newest commit with another alarm; its payload is the state."""
    stored = newest.stored
    assert stored is not None
    head = f"{Kind.ALARM} {stored.version} {stored.tail} {newest.state_bytes} {_text(to)}"
    return {_EXPECTED: str(newest.sequence), _HEAD: head, **_key_of(key, subject)}


def _key_of(key: str, subject: str) -> dict[str, str]:
    return {_KEY: urlsafe_b64encode(key.encode()).decode()} if f".{LONG}." in subject else {}


def _text(alarm_at: float | None) -> str:
    return "-" if alarm_at is None else repr(float(alarm_at))
