"""Grant: what a user may hear, as decided by the application for one request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Self

from nitro.access.permissions import SenderKeys
from nitro.access.principal import Principal, monotonic_end, unix_seconds
from nitro.clients.patterns import Topics, patterns_of
from nitro.errors import ArgumentTypeError, ConfigurationError, TopicTypeError
from nitro.events.sender import ANY, AnyType, user_key
from nitro.messages.identity import Identity
from nitro.messages.topics import EVERY_TOPIC

__all__ = ["Grant", "Written", "check_grant", "grant_of"]

Written = dict[str, list[str] | AnyType]
"""Pattern → keys of its senders, or `ANY` for all of them."""


@dataclass(frozen=True, slots=True, init=False)
class Grant:
    """The rights of a user.

    Args:
        allowed: topics or patterns, or a dict of those → senders; `ANY` allows everything.
        denied: the same; takes precedence over `allowed`.
        user_id: the user, for `nitro.disconnect_user` and the limits per user: an id, or an object that has one.
        expires_at: when the rights end, and the stream with them: an aware datetime, or seconds since 1970.
        read_at: when the rights were read, on the clock of `time.monotonic`, to restore a grant that was made earlier;
            now if None. A `disconnect_user` of the user after that applies to it.

    Raises:
        InvalidTopic, TopicTypeError: a topic breaks the grammar, or `allowed` is None.
        ConfigurationError: `expires_at` is no time, `read_at` not one in the past, or `user_id` not an id.
    """

    allowed: Written
    denied: Written
    user_id: str | None
    expires_at: float | None
    read_at: float = field(repr=False, compare=False)
    _allowed: Mapping[str, SenderKeys] | None = field(init=False, repr=False, compare=False)
    """None if the client's topics are trusted: the server chose them, and restricts nothing."""

    def __init__(
        self,
        allowed: Topics,
        denied: Topics = (),
        user_id: Identity | None = None,
        expires_at: datetime | float | None = None,
        *,
        read_at: float | None = None,
    ) -> None:
        if allowed is None:
            raise TopicTypeError("a grant needs what is allowed: a list of topics, or ANY for everything")
        self._complete(patterns_of(allowed, "allowed"), denied, user_id, expires_at, _moment(read_at))

    @classmethod
    def _trusting(cls, denied: Topics, user_id: Identity | None, expires_at: datetime | float | None) -> Self:
        """The grant of a client whose topics the server chose: everything is allowed."""
        grant = cls.__new__(cls)
        grant._complete(None, denied, user_id, expires_at, time.monotonic())
        return grant

    def _complete(
        self,
        allowed: Mapping[str, SenderKeys] | None,
        denied: Topics,
        user_id: Identity | None,
        expires_at: datetime | float | None,
        read_at: float,
    ) -> None:
        says_nothing = isinstance(denied, tuple) and not denied
        put = object.__setattr__
        put(self, "allowed", {EVERY_TOPIC: ANY} if allowed is None else _written(allowed))
        put(self, "denied", {} if says_nothing else _written(patterns_of(denied, "denied")))
        put(self, "user_id", user_key(user_id))
        put(self, "expires_at", unix_seconds(expires_at))
        put(self, "read_at", read_at)
        put(self, "_allowed", allowed)

    @property
    def principal(self) -> Principal:
        """The user and the end of the rights, converted to the clock of `time.monotonic` at this call."""
        return Principal(self.user_id, monotonic_end(self.expires_at))


def check_grant(grant: object, what: str) -> None:
    """Raises ArgumentTypeError if `grant`, called `what` in the text, is no Grant."""
    if not isinstance(grant, Grant):
        raise ArgumentTypeError(
            f"{what} is no Grant, but {grant!a:.80}; say what the user may hear: Grant(['todo.*'], user_id=user.id)"
        )


def grant_of(
    grant: Grant | None,
    allowed: Topics | None,
    denied: Topics | None,
    user_id: Identity | None,
    expires_at: datetime | float | None,
) -> Grant:
    """The grant of a client, from `grant` or from the other arguments; raises ConfigurationError for both."""
    if grant is not None:
        check_grant(grant, "the grant of a Client")
        if any(said is not None for said in (allowed, denied, user_id, expires_at)):
            raise ConfigurationError(
                "grant= already says what this Client may hear, for whom and until when; leave out allowed=, denied=, "
                "user_id= and expires_at=, or pass all of it there: grant=Grant(['todo.*'], user_id=user.id)"
            )
        return grant
    denied = () if denied is None else denied
    if allowed is None:
        return Grant._trusting(denied, user_id, expires_at)
    return Grant(allowed, denied, user_id, expires_at)


def _moment(read_at: float | None) -> float:
    now = time.monotonic()
    if read_at is None:
        return now
    if isinstance(read_at, bool) or not isinstance(read_at, int | float) or not isfinite(read_at) or read_at > now:
        raise ConfigurationError(f"read_at is a past time of time.monotonic(), not {read_at!r}")
    return float(read_at)


def _written(patterns: Mapping[str, SenderKeys]) -> Written:
    return {pattern: ANY if keys is None else sorted(keys) for pattern, keys in patterns.items()}
