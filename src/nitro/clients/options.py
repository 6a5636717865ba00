"""ClientOptions: what a client takes beside its topics and its rights, passed on by those who make one."""

from __future__ import annotations

from typing import TypedDict

from nitro.clients.patterns import Patterns
from nitro.settings import Overflow

__all__ = ["ClientOptions"]


class ClientOptions(TypedDict, total=False):
    """Keywords of `Client`, each with the meaning that it has there. A test compares them."""

    client_id: str | None
    muted_topics: Patterns
    address: str | None
    last_event_id: str | None
    max_messages: int | None
    max_bytes: int | None
    overflow: Overflow | None
    send_timeout_seconds: float | None
