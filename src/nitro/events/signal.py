"""Signal: what an emission needs of an event, and how a handler is registered with one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

__all__ = ["Condition", "Handler", "Registration", "Signal"]

Handler = Callable[..., Any]
Condition = Callable[..., bool]


class Registration(NamedTuple):
    """How a handler was connected: sorts by priority, highest first, then by when."""

    priority: int
    order: int
    condition: Condition | None
    is_required: bool

    @property
    def rank(self) -> tuple[int, int]:
        return (-self.priority, self.order)


class Signal(Protocol):
    """An `Event`, as those see it who call its handlers and publish it."""

    @property
    def name(self) -> str:
        """The topic."""

    @property
    def latest_by(self) -> str | None:
        """The field of the result whose values have a newest message each."""

    @property
    def is_heard(self) -> bool:
        """Whether clients can hear it: events of other namespaces are for handlers alone."""

    @property
    def is_muted(self) -> bool:
        """Whether blinker's `muted()` is in force."""

    @property
    def is_handled(self) -> bool:
        """Whether it has handlers, by its name or by a pattern."""

    @property
    def is_kept(self) -> bool:
        """Whether its namespace knows it: it was made by `event`, and not by an emit of a name."""

    @property
    def receivers(self) -> Mapping[Any, Any]:
        """Its own handlers, without those of patterns, as blinker keeps them."""

    def handlers_for(self, sender: Any) -> list[tuple[Registration, Handler]]:
        """The handlers that this sender's emit calls, in their order."""
