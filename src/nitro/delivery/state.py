"""States: what the delivery does for one client, and how that changes. Pure functions: each returns the new state and
what is to be done, and the schedule does it.

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

A client begins BUSY, since nothing reads it yet, and becomes ENDED from any state.
"""

from __future__ import annotations

from enum import Enum

__all__ = [
    "State",
    "Todo",
    "on_attached",
    "on_beat",
    "on_free",
    "on_held",
    "on_news",
    "on_pause_over",
    "on_resumed",
    "on_turn",
]


class State(Enum):
    """The state of one client.

    Attributes:
        is_parked: its sink isn't notified when its feed closes a batch; only its limits are checked now and then.
        is_limited: its queued messages count against its limits, since its sink could have taken them.
    """

    is_parked: bool
    is_limited: bool

    IDLE = "idle", False, False
    """Its sink has taken everything, and is notified of the next batch."""
    BUSY = "busy", False, True
    """Its sink is taking or writing, or nothing is attached."""
    BEHIND = "behind", True, True
    """As BUSY, and more is queued."""
    HELD = "held", True, True
    """Its sink is free, but gets nothing before this process has read the log up to the client's id."""
    REPLAYING = "replaying", True, False
    """Its sink is free, and gets the next page of the replay in its turn."""
    PAUSED = "paused", True, True
    """As REPLAYING, but its user has used up its pace, so the page has to wait."""
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
    NOTIFY = "notify its sink"
    CHECK_LIMITS = "drop queued messages or end it, if there are too many"
    QUEUE = "notify its sink in its turn"
    QUEUE_PAGE = "give it a page in its turn"
    PAUSE = "give it a page later"
    END = "end it"


def on_news(state: State) -> tuple[State, Todo]:
    """Something new is queued."""
    if state is State.IDLE:
        return State.BUSY, Todo.NOTIFY
    if state is State.BUSY:
        return State.BEHIND, Todo.CHECK_LIMITS
    return state, Todo.CHECK_LIMITS if state.is_limited else Todo.NOTHING


def on_free(
    state: State, *, is_held: bool, is_replaying: bool, is_draining: bool, has_more: bool
) -> tuple[State, Todo]:
    """Its sink has taken everything available; `has_more`: something was queued meanwhile."""
    if state not in (State.IDLE, State.BUSY, State.BEHIND):
        return state, Todo.NOTHING
    if is_draining and (is_held or is_replaying):  # the log has the rest: the client resumes elsewhere
        return state, Todo.END
    if is_held:
        return State.HELD, Todo.NOTHING
    if is_replaying:
        return State.REPLAYING, Todo.QUEUE_PAGE
    if has_more:
        return State.IDLE, Todo.QUEUE
    return State.IDLE, Todo.END if is_draining else Todo.NOTHING


def on_attached(state: State) -> tuple[State, Todo]:
    """Another sink was attached; it counts as busy until it calls `free`."""
    if state is State.ENDED:
        return state, Todo.NOTHING
    return State.BEHIND if state.is_parked else State.BUSY, Todo.NOTHING


def on_held(state: State) -> tuple[State, Todo]:
    """Nothing can be taken before this process has read the log up to the client's id."""
    is_free = state in (State.IDLE, State.REPLAYING, State.PAUSED)
    return State.HELD if is_free else state, Todo.NOTHING


def on_resumed(state: State) -> tuple[State, Todo]:
    """Its replay can begin."""
    if state in (State.IDLE, State.HELD):
        return State.REPLAYING, Todo.QUEUE_PAGE
    return state, Todo.NOTHING


def on_beat(state: State) -> tuple[State, Todo]:
    """It is time for a heartbeat, which its feed's can't be, as it gets nothing of its feed. It is held again then."""
    return (State.BEHIND, Todo.NOTIFY) if state is State.HELD else (state, Todo.NOTHING)


def on_turn(state: State, *, has_to_wait: bool) -> tuple[State, Todo]:
    """It is its turn to get a page."""
    if state is not State.REPLAYING:
        return state, Todo.NOTHING
    return (State.PAUSED, Todo.PAUSE) if has_to_wait else (State.BEHIND, Todo.NOTIFY)


def on_pause_over(state: State) -> tuple[State, Todo]:
    """Its pause before the next page is over."""
    return (State.REPLAYING, Todo.QUEUE_PAGE) if state is State.PAUSED else (state, Todo.NOTHING)
