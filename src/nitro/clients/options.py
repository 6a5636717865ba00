"""ClientOptions: the keyword arguments of a client other than topics and rights, for functions that pass them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from nitro.clients.patterns import Patterns
from nitro.settings import Overflow

__all__ = ["ClientOptions"]


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of `Client`, with the same meaning. A test compares the two."""

    client_id: str | None
    muted_topics: Patterns
    address: str | None
    last_event_id: str | None
    max_messages: int | None
    max_bytes: int | None
    overflow: Overflow | None
    send_timeout_seconds: float | None
    presence: str | Sequence[str] | None
    state: Any
