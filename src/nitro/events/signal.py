"""Signal: the interface of an event that an emission uses, and the registration of a handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nitro.events.schema import Schema

__all__ = ["Condition", "Handler", "Registration", "Signal"]

Handler = Callable[..., Any]
Condition = Callable[..., bool]


@dataclass(slots=True, eq=False)
class Registration:
    """The options of a connected handler; `rank` sorts by priority, highest first, then by registration order. It is
    over once the handler is disconnected, also for an emit that is going on.
    """

    priority: float
    order: int
    condition: Condition | None
    is_required: bool
    is_over: bool = False

    @property
    def rank(self) -> tuple[float, int]:
        return (-self.priority, self.order)


class Signal(Protocol):
    """The part of `Event` that is needed to call its handlers and publish it."""

    @property
    def name(self) -> str:
        """The topic."""

    @property
    def latest_by(self) -> str | None:
        """The field of the result by whose value newer messages replace older ones."""

    @property
    def schema(self) -> Schema[Any] | None:
        """What its results are; None if they may be anything."""

    @property
    def is_heard(self) -> bool:
        """Whether it is published to clients: events of other namespaces than the default one are not."""

    @property
    def is_muted(self) -> bool:
        """Whether blinker's `muted()` is in force."""

    @property
    def is_handled(self) -> bool:
        """Whether it has handlers, of its own or of a matching pattern."""

    @property
    def is_kept(self) -> bool:
        """Whether it is in its namespace: created by `event`, and not by an emit of an unknown name."""

    @property
    def receivers(self) -> Mapping[Any, Any]:
        """Its own handlers, without those of patterns, as blinker stores them."""

    def handlers_for(self, sender: Any) -> list[tuple[Registration, Handler]]:
        """The handlers that an emit by `sender` calls, in order."""
