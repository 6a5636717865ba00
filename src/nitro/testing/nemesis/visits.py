"""What a reader that left for good had to hear: everything in the log before the last message that it heard, as far as
anybody heard it.

Made from the journals of readers that left, and from where any reader heard each message; used by the judge.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

from nitro.messages.message import Position
from nitro.testing.oracle import Listener, Sent

__all__ = ["end_visits"]


def end_visits(
    visits: Iterable[tuple[Listener, Position | None]],
    sent: Sequence[Sent],
    places: Mapping[tuple[str, int], Position],
) -> None:
    """Set `until` of each listener that left: the first emit whose message is behind its last position. What nobody
    heard may be behind it as well, and is not wanted of it.

    Args:
        visits: listeners that left, each with its last position.
        sent: everything that was emitted.
        places: positions of messages, by producer and number, as far as any reader heard them. Messages that none
            heard are reported as lost by the readers that stayed.
    """
    in_order = sorted(sent, key=lambda message: message.at)
    times = [message.at for message in in_order]
    for listener, last in visits:
        listener.until = float("-inf")
        if last is None:
            continue
        later = in_order[bisect_right(times, listener.since) :]
        behind = (message.at for message in later if _is_behind(last, places.get((message.producer, message.n))))
        listener.until = next(behind, float("inf"))
        listener.hears = _placed(listener.hears, places)


def _is_behind(last: Position, place: Position | None) -> bool:
    return place is not None and (place.epoch != last.epoch or place.sequence > last.sequence)


def _placed(hears: Callable[[Sent], bool], places: Mapping[tuple[str, int], Position]) -> Callable[[Sent], bool]:
    return lambda message: (message.producer, message.n) in places and hears(message)
