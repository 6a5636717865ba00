"""`live_model`: declares a mapped class to be live, and gives by hand what can't be seen."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from nitro.errors import ConfigurationError
from nitro.live.model import LiveModel
from nitro.live.tracking import track

__all__ = ["live_model"]

_declared: dict[type[Any], LiveModel] = {}


def live_model(model: type[Any], topic: str | None = None, *, exclude: Collection[str] = ()) -> LiveModel:
    """Let a class of SQLModel or SQLAlchemy announce its changes: `orders = nitro.live_model(Order)`.

    Every session, synchronous or not, emits `order.created`, `order.updated` and `order.deleted` for the rows that its
    transaction has changed, with the row's id as the sender and the row as the result; of a deleted row its key. They
    are in the same transaction, if the broker's log is in the same database; else they are published right after it.

    Args:
        model: a mapped class with a table of its own.
        topic: takes the place of `order`, the class's name in snake case.
        exclude: attributes that stay on the server, besides those declared with `Field(exclude=True)`.

    Returns:
        `changed` and `silent`, for what can't be seen and for what is not to be announced.

    Raises:
        ConfigurationError: it isn't mapped to a table of its own, it is live already, another class has the topic, or
            `exclude` names no column.
        InvalidTopic, TopicTypeError: the topic breaks the grammar.
    """
    if model in _declared:
        raise ConfigurationError(f"{model.__name__} is live already")
    declared = LiveModel(model, topic, exclude)
    taken = next((each for each in _declared.values() if each.topic == declared.topic), None)
    if taken is not None and _name(taken.model) == _name(model):  # defined again, as a reload or a test does
        del _declared[taken.model]
    elif taken is not None:
        raise ConfigurationError(
            f"the topic {declared.topic!r} is that of {taken.model.__qualname__} already: give another, by topic="
        )
    track(declared)
    _declared[model] = declared
    return declared


def _name(model: type[Any]) -> tuple[str, str]:
    return model.__module__, model.__qualname__
