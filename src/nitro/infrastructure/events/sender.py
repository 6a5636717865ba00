"""Senders: the sentinel that means any of them, and the key by which subscriptions filter them."""

from __future__ import annotations

from typing import Any, Final, final

__all__ = ["ANY", "AnyType", "is_any", "sender_key"]


@final
class AnyType:
    """Type of `ANY`: every topic, every sender, or no mute, by where it stands."""

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


def is_any(value: Any) -> bool:
    """Whether `value` is `ANY`, or the string `"ANY"`, which may stand for it among topics.

    Not among senders: their keys are people's ids and names of rooms, and one of them may be just that.
    """
    return value is ANY or (isinstance(value, str) and value == "ANY")


def sender_key(sender: Any) -> str | None:
    """What subscriptions compare: a string is itself, an object with an `id` is that id as a string, other
    values are their text. `ANY`, `None` and an object whose `id` is None have none, and reach only subscriptions
    without senders.
    """
    if sender is None or sender is ANY:
        return None
    if isinstance(sender, str):
        return sender
    identity = getattr(sender, "id", sender)
    return None if identity is None else str(identity)
