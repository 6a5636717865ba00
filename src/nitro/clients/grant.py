"""Grant: what a user may hear, as an application decides it for one request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nitro.access.principal import unix_seconds
from nitro.clients.patterns import patterns_of
from nitro.errors import ArgumentTypeError, TopicTypeError
from nitro.events.sender import ANY, user_key

__all__ = ["Grant", "check_grant"]


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights to hear.

    Args:
        allowed: topics or patterns, or a dict of those → senders; `ANY` allows everything.
        denied: the same, denied whatever is allowed.
        user_id: whose rights they are, for `nitro.disconnect_user` and the limit for each user: an id, or an object
            that has one.
        expires_at: when they end, and with them the stream: an aware datetime, or seconds since 1970.

    Raises:
        InvalidTopic, TopicTypeError: a topic breaks the grammar, or nothing is said to be allowed.
        ConfigurationError: `expires_at` is no moment, or `user_id` nobody's.

    Attributes:
        read_at: when it was made, on the clock of `time.monotonic`. A `disconnect_user` of its user after that applies
            to it.
    """

    allowed: Any
    denied: Any = ()
    user_id: Any = None
    expires_at: datetime | float | None = None
    read_at: float = field(default_factory=time.monotonic, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.allowed is None:
            raise TopicTypeError("a grant says what is allowed: a list of topics, or ANY for everything")
        object.__setattr__(self, "allowed", _written(patterns_of(self.allowed, "allowed")))
        object.__setattr__(self, "denied", _written(patterns_of(self.denied, "denied")))
        object.__setattr__(self, "user_id", user_key(self.user_id))
        object.__setattr__(self, "expires_at", unix_seconds(self.expires_at))


def check_grant(grant: object, what: str) -> None:
    """Raises ArgumentTypeError if `grant`, called `what` in its text, is no Grant."""
    if not isinstance(grant, Grant):
        raise ArgumentTypeError(
            f"{what} is no Grant, but {grant!a:.80}; say what the user may hear: Grant(['todo.*'], user_id=user.id)"
        )


def _written(patterns: Mapping[str, frozenset[str] | None]) -> dict[str, Any]:
    return {pattern: ANY if keys is None else sorted(keys) for pattern, keys in patterns.items()}
