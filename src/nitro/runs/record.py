"""The record of a run: whose it is, how it stands, and how it is kept. It is the `run` of its stream's state."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from nitro.streams.state import StreamState

__all__ = ["PREFIX", "Ended", "RunInfo", "RunRecord", "RunState", "key_of", "new_id", "owners_prefix", "record_of"]

RunState: TypeAlias = Literal["running", "done", "failed", "cancelled", "lost"]
"""What a run is; the last four for ever."""
Ended: TypeAlias = Literal["done", "failed", "cancelled", "lost"]

PREFIX: Final = "runs/"
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{33}", re.ASCII)
_LAST_MICROSECOND: Final = 2**52 - 1
"""What 13 digits hold; in the year 2112."""
_NOBODY: Final = "0" * 8


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is kept of a run beside its items.

    Attributes:
        started_at: seconds since 1970.
        keep_seconds: how long it can be read after its end.
        lease_seconds: how long its producer may be silent before it counts as dead.
        max_items, max_bytes: what it may hold.
        user_id: whose it is; None for nobody's.
        epoch: how often somebody took it up; only the newest producer's items are stored.
        state: how it stands.
        reason: why it failed.
        ended_at: seconds since 1970; None while it runs.
        restart: the name of the function that starts it again; None if nothing does.
        data: what that function needs to know.
        deaths: how many of its producers died; those that have released it did not.
        is_released: its producer has left it to others, since its process ended.
    """

    started_at: float
    keep_seconds: float
    lease_seconds: float
    max_items: int
    max_bytes: int
    user_id: str | None = None
    epoch: int = 0
    state: RunState = "running"
    reason: str | None = None
    ended_at: float | None = None
    restart: str | None = None
    data: Any = None
    deaths: int = 0
    is_released: bool = False

    @property
    def silence_seconds(self) -> float:
        """Half of the lease. After so long a silence of the producer its alarm is due; who sees it watches the run for
        as long again, by a clock of its own, before anything is done.
        """
        return self.lease_seconds / 2

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class RunInfo(NamedTuple):
    """How a run stands.

    Attributes:
        id: of the run.
        user_id: whose it is; None for nobody's.
        state: `"running"`, or what it is for ever: `"done"`, `"failed"`, `"cancelled"` or `"lost"`.
        reason: why it failed; None otherwise.
        items: how many it has.
        started_at, ended_at: seconds since 1970.
        data: what was passed to `start(data=)`.
    """

    id: str
    user_id: str | None
    state: RunState
    reason: str | None
    items: int
    started_at: float
    ended_at: float | None
    data: Any

    @classmethod
    def of(cls, id: str, state: StreamState) -> RunInfo:
        """From what is stored."""
        record = record_of(state)
        return cls(
            *(id, record.user_id, record.state, record.reason),
            *(state.items, record.started_at, record.ended_at, record.data),
        )


def record_of(state: StreamState) -> RunRecord:
    """The record of a run, from what is stored."""
    run: Mapping[str, Any] = state.run or {}
    return RunRecord(**{name: value for name, value in run.items() if name in RunRecord.__dataclass_fields__})


def new_id(user_id: str | None, started_at: float) -> str:
    """A random id of 80 bits, behind a digest of its user and its start.

    So the runs of one user are together, in the order of their ids, and the newest is the first.
    """
    left = _LAST_MICROSECOND - int(started_at * 1_000_000)
    return f"{_owner(user_id)}-{left:013x}{secrets.token_hex(10)}"


def key_of(id: object) -> str | None:
    """The key of a run's stream; None if no run has such an id."""
    return PREFIX + id if isinstance(id, str) and _ID.fullmatch(id) else None


def owners_prefix(user_id: str | None) -> str:
    """How the keys of a user's runs begin; the newest is the first of them."""
    return f"{PREFIX}{_owner(user_id)}-"


def _owner(user_id: str | None) -> str:
    return _NOBODY if user_id is None else hashlib.blake2b(user_id.encode(), digest_size=4).hexdigest()
