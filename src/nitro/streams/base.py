"""The contract of stores: what streams with an end require of the place where their records stand.

A store knows nothing of closing, producers, forks or runs: it keeps, for each key, one state and a row of records, and
changes both in one step if nobody else has changed them meanwhile. Everything else is decided above it, once for all
stores: `decisions.py` says what a request does to a state, and `streams.py` commits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from nitro.errors import NitroError

__all__ = ["ABSENT", "Change", "Commit", "Conflict", "Record", "Store", "StoreFactory", "Stored"]

ABSENT: Final = 0
"""The version of a key that is not there. Every version is greater."""


class Conflict(NitroError):
    """The key is no longer at the version that was expected; nothing of this commit was stored."""


class Stored(NamedTuple):
    """What a store has of one key.

    Attributes:
        version: of its newest commit.
        tail: the version of the newest commit with a record, or what its first commit said.
        state: as it was committed.
        alarm_at: when somebody has to look at it, in seconds since 1970; None for never.
    """

    version: int
    tail: int
    state: bytes
    alarm_at: float | None


class Record(NamedTuple):
    """One record: the version of the commit that wrote it, and its bytes."""

    version: int
    body: bytes


class Commit(NamedTuple):
    """A change of one key: its new state and a record, both or neither.

    Attributes:
        key: 1 to 1,024 characters, any but NUL, and at most 2,048 bytes of UTF-8.
        expected: the version that it replaces; `ABSENT` for a new key.
        state: what to keep; None deletes the key with its records.
        body: a record to append; None for none.
        tail: the tail to keep if there is no record; of no meaning with one.
        alarm_at: when somebody has to look at the key, in seconds since 1970; None for never.
        expires: whether nobody needs the key after its alarm, also if that is postponed. Then a store may delete it by
            itself an hour later; without, never.
    """

    key: str
    expected: int
    state: bytes | None
    body: bytes | None = None
    tail: int = 0
    alarm_at: float | None = None
    expires: bool = False


class Change(NamedTuple):
    """News of a key: the commit that was stored, or only that there was one.

    Attributes:
        key: whose.
        previous: the version that it replaced; of a deletion it may be a greater one, below any later one of the key.
        stored: what the store has since; None if the key was deleted, or if the news is too long to be told.
        body: the record that was appended; None if there was none, or if the news is too long.
        is_complete: whether `stored` and `body` are all of it; if not, they have to be read.
    """

    key: str
    previous: int
    stored: Stored | None
    body: bytes | None
    is_complete: bool


class Store(Protocol):
    """Where states and records stand: in memory, in a file or on a server. Used from one event loop.

    Versions: whole numbers below 2**53. Each commit of a key has a greater one than the commit before, also if the key
    was deleted in between, and than `expected` and `tail` of its own.
    Durability: what `commit` returned is as durable as the store's server or file.
    News: while a key is watched, each commit of it from any process is told by `news` once it can be read, in order,
    unless `news` says that some may have been missed. Several commits of a key may be told as one change, which is not
    complete then. A store need not tell its own commits, unless `commit` did not return.

    Errors: any verb may raise its driver's errors, or be cancelled because it takes too long. It may be called again
    then: the store connects anew when it needs to. Verbs are called while others still run.
    """

    @property
    def name(self) -> str:
        """Its URL without secrets, for messages and logs."""

    @property
    def max_body_bytes(self) -> int | None:
        """The longest record and state together that the server accepts; None if there is no limit."""

    async def open(self) -> None:
        """Connect; create what is needed in the server or the file."""

    async def load(self, key: str) -> Stored | None:
        """What there is of the key; None if it is not there."""

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        """Store each of them by itself: its new version, or a `Conflict`. No two are of one key.

        If it raises, each may have been stored or not.
        """

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        """The key's records with `after` < version <= `until`, oldest first; at least one, if there is one, and then
        no more than `max_bytes`. Also of a key that is deleted meanwhile: then there are none.
        """

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        """Change the alarm of a key without a commit; False if it isn't `alarm_at` now, or the key is not there."""

    async def due(self, now: float, limit: int) -> Sequence[str]:
        """Keys whose alarm is not after `now`, the earliest first, `limit` of them at most."""

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        """Keys that begin with `prefix`, in the order of their characters, `limit` of them at most."""

    def watch(self, key: str) -> None:
        """Tell commits of this key from now on. If that takes a while, an incomplete change of the key is told then."""

    def unwatch(self, key: str) -> None:
        """No longer."""

    async def news(self) -> Sequence[Change] | None:
        """Wait for commits of watched keys; None if some may have been missed, so that all have to be looked at."""

    async def close(self) -> None:
        """Close what is open. It can be opened again."""


class StoreFactory(Protocol):
    """What makes a store for a URL, usually its class."""

    def __call__(self, url: str, namespace: str, /) -> Store:
        """The store that `url` names, not yet open; raises `ConfigurationError` if it can't be used."""
