"""States: what the delivery does for one client now, and what becomes of that. Pure: each change returns what is to be
done about it, and the schedule does it.

```
             news                       news
      IDLE ─────────▶ BUSY ───────────────────────▶ BEHIND
       ▲               │ free                         │ free
       ├───────────────┴──────────────────────────────┤
       │                            ┌─────────────────┤
       │ nothing more to replay     ▼ held            ▼ more to replay
       │                          HELD ──resumed──▶ REPLAYING ──turn──▶ BEHIND, with a page
       │                                              │   ▲
       │                                       pace   ▼   │ time is up
       │                                            PAUSED
```

A client begins BUSY, since nobody reads it yet, and ends ENDED from anywhere.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["State", "Todo", "on_attached", "on_free", "on_held", "on_news", "on_pause_over", "on_resumed", "on_turn"]


class State(Enum):
    """One client's.

    Attributes:
        is_parked: it isn't told of what its feed gets, but looked at now and then.
        is_limited: what waits for it counts against its limits, since it could have taken it.
    """

    is_parked: bool
    is_limited: bool

    IDLE = "idle", False, False
    """Its sink has taken all, and takes what comes next."""
    BUSY = "busy", False, True
    """Its sink is at it, or nobody reads it."""
    BEHIND = "behind", True, True
    """The same, and more waits."""
    HELD = "held", True, True
    """Its sink is free, and gets nothing before this process has read the log up to the client's id."""
    REPLAYING = "replaying", True, False
    """Its sink is free, and gets the next page of what the client missed when it is its turn."""
    PAUSED = "paused", True, True
    """The same, but its user had so much of the log just now that the page has to wait."""
    ENDED = "ended", True, False

    def __new__(cls, name: str, is_parked: bool, is_limited: bool) -> State:
        state = object.__new__(cls)
        state._value_ = name
        state.is_parked = is_parked
        state.is_limited = is_limited
        return state


class Todo(Enum):
    """What is to be done after a change."""

    NOTHING = "nothing"
    NOTIFY = "let its sink take what waits"
    CHECK_LIMITS = "shorten what waits, or end it, if that is too much"
    QUEUE = "tell it in its turn"
    QUEUE_PAGE = "give it a page in its turn"
    PAUSE = "give it a page later"
    END = "end it"


def on_news(state: State) -> tuple[State, Todo]:
    """Something waits for it that it wasn't told of."""
    if state is State.IDLE:
        return State.BUSY, Todo.NOTIFY
    if state is State.BUSY:
        return State.BEHIND, Todo.CHECK_LIMITS
    return state, Todo.CHECK_LIMITS if state.is_limited else Todo.NOTHING


def on_free(
    state: State, *, is_held: bool, is_replaying: bool, is_draining: bool, has_more: bool
) -> tuple[State, Todo]:
    """Its sink has taken all that it might; `has_more` came in that moment."""
    if state not in (State.IDLE, State.BUSY, State.BEHIND):
        return state, Todo.NOTHING
    if is_draining and (is_held or is_replaying):  # the log has it, and another process goes on with it
        return state, Todo.END
    if is_held:
        return State.HELD, Todo.NOTHING
    if is_replaying:
        return State.REPLAYING, Todo.QUEUE_PAGE
    if has_more:
        return State.IDLE, Todo.QUEUE
    return State.IDLE, Todo.END if is_draining else Todo.NOTHING


def on_attached(state: State) -> tuple[State, Todo]:
    """Another sink reads it, which isn't free before it says so."""
    if state is State.ENDED:
        return state, Todo.NOTHING
    return State.BEHIND if state.is_parked else State.BUSY, Todo.NOTHING


def on_held(state: State) -> tuple[State, Todo]:
    """It gets nothing before this process has read up to its id."""
    is_free = state in (State.IDLE, State.REPLAYING, State.PAUSED)
    return State.HELD if is_free else state, Todo.NOTHING


def on_resumed(state: State) -> tuple[State, Todo]:
    """What it missed can be read."""
    if state in (State.IDLE, State.HELD):
        return State.REPLAYING, Todo.QUEUE_PAGE
    return state, Todo.NOTHING


def on_turn(state: State, *, has_to_wait: bool) -> tuple[State, Todo]:
    """The next page is its."""
    if state is not State.REPLAYING:
        return state, Todo.NOTHING
    return (State.PAUSED, Todo.PAUSE) if has_to_wait else (State.BEHIND, Todo.NOTIFY)


def on_pause_over(state: State) -> tuple[State, Todo]:
    """It has waited for its page."""
    return (State.REPLAYING, Todo.QUEUE_PAGE) if state is State.PAUSED else (state, Todo.NOTHING)
