"""Senders: the sentinel for any sender, and the key by which subscriptions filter."""

from __future__ import annotations

from typing import Any, Final, final

from nitro.errors import ConfigurationError
from nitro.messages.identity import is_identity

__all__ = ["ANY", "AnyType", "is_any", "sender_key", "user_key"]


@final
class AnyType:
    """Type of `ANY`: every topic, every sender or no mutes, depending on the argument."""

    _instance: AnyType | None = None

    def __new__(cls) -> AnyType:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"


ANY: Final = AnyType()
"""Every sender, or every topic; and the sender of an emit that names none."""


def is_any(value: Any) -> bool:
    """Whether `value` is `ANY`, or the string `"ANY"`, which means the same as a topic.

    As a sender the string is an ordinary key, since it may be the id of a user or the name of a room.
    """
    return value is ANY or (isinstance(value, str) and value == "ANY")


def user_key(user: Any) -> str | None:
    """The id of a user, given as an id or an object that has one; None for no user.

    Raises:
        ConfigurationError: it is an object without an id, or contains a surrogate, which no log can store.
    """
    key = sender_key(user)
    if user is not None and (not key or not is_identity(user)):
        raise ConfigurationError(f"user_id is an id, or an object that has one, not {user!a:.80}")
    if key is not None and any("\ud800" <= char <= "\udfff" for char in key):
        raise ConfigurationError(f"user_id is no text: {key!a:.80}")
    return key


def sender_key(sender: Any) -> str | None:
    """The key that subscriptions compare: a string itself, the `id` of an object that has one as a string, and `str()`
    of any other value. `ANY`, `None` and an object whose `id` is None have no key, and reach only subscriptions
    without senders.
    """
    if sender is None or sender is ANY:
        return None
    if isinstance(sender, str):
        return sender
    identity = getattr(sender, "id", sender)
    return None if identity is None else str(identity)
