"""What a reader had to hear that left for good: everything that stands in the log before the last that it heard.

Fed by the journals of those who left, and by where anybody heard each message; feeds the judge.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from nitro.messages.message import Position
from nitro.testing.oracle import Listener, Sent

__all__ = ["end_visits"]


def end_visits(
    visits: Iterable[tuple[Listener, Position | None]],
    sent: Sequence[Sent],
    places: Mapping[tuple[str, int], Position],
) -> None:
    """Set until when each of them had to hear: until the first emit whose message stands behind its last place.

    Args:
        visits: those who left, each with the last place that it had.
        sent: everything that was emitted.
        places: where each message stood, by producer and number, as far as anybody heard it. Whoever stayed
            misses the others, too, if they are missed.
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


def _is_behind(last: Position, place: Position | None) -> bool:
    return place is not None and (place.epoch != last.epoch or place.sequence > last.sequence)
