"""The replay: what one client missed, read from the log again.

Fed by the log, a page at a time and no sooner than the client takes the page before; feeds the client's backlog. So a
client that comes back costs the memory of one page, however far it is behind, and none while it doesn't read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nitro.domain.message import Gap, Message, Position
from nitro.infrastructure.brokers.base import PositionLost
from nitro.infrastructure.delivery.feed import MAX_WRITE_BYTES, Batch
from nitro.infrastructure.delivery.frame import Frame
from nitro.infrastructure.delivery.interest import Interest, Kind

__all__ = ["Read", "Replay"]

Read = Callable[[Position, int], Sequence[Message]]
"""The log's messages behind a position, so many at most; raises `PositionLost`."""

_PAGE_MESSAGES: Final = 256
"""How many of the log's messages are looked at before others get their turn."""


class Replay:
    """From the position behind `after` up to `until`, where the client's feed goes on.

    Args:
        max_bytes: payload of the messages that it may have; if it missed more, it is told so instead of the rest.
        gaps: counts the gap, if there is one, by its reason.
        since: where a client that can't go on behind `after` begins, told of a gap; `until` if left out.

    Attributes:
        starts_at: where the client stands, so that one that is cut right now comes back to it; None if it is
            told of a gap first.
        is_over: whether nothing more will come.
    """

    __slots__ = (
        "_after",
        "_bytes_left",
        "_gaps",
        "_heard",
        "_interest",
        "_page",
        "_read",
        "_until",
        "is_over",
        "starts_at",
    )

    def __init__(
        self,
        read: Read,
        interest: Interest,
        after: Position | None,
        until: Position,
        max_bytes: int,
        gaps: Counter[str],
        since: Position | None = None,
    ) -> None:
        self._read = read
        self._interest = interest
        self._until = until
        self._bytes_left = max_bytes
        self._gaps = gaps
        self._heard: dict[Kind, bool] = {}  # a log has few topics and senders, mostly
        self.is_over = False
        self.starts_at = after
        self._page: Sequence[Message] | Gap
        self._after = after or until
        if after is None or (after.epoch == until.epoch and after.sequence > until.sequence):
            self._lose("invalid", since)
        elif after.epoch != until.epoch:
            self._lose("epoch", since)
        else:
            self._read_page()

    def withhold(self, interest: Interest) -> None:
        """Leave out what `interest` may hear no more, though it was subscribed when the client came back."""
        self._interest = replace(self._interest, permissions=interest.permissions)
        self._heard.clear()

    def next_page(self) -> Batch | None:
        """What the client hears of the next page, or None if that is nothing."""
        page = self._page
        if isinstance(page, Gap):
            self._after = page.resumed_at
            self._go_on()
            return Batch([Frame(page)], None)
        frames: list[Frame] = []
        size = 0
        for message in page:
            assert message.position is not None  # it comes from the log
            if message.position.sequence > self._until.sequence:
                break
            self._after = message.position
            if self._hears(message):
                self._bytes_left -= len(message.payload)
                if self._bytes_left < 0:
                    self._lose("overflow")
                    return Batch(frames, None) if frames else None
                frames.append(Frame(message))
                size += len(message.payload)
                if size > MAX_WRITE_BYTES:
                    break
        if page:
            self._go_on()
        else:
            self.is_over = True
        return Batch(frames, None) if frames else None

    def _go_on(self) -> None:
        if self._after.sequence >= self._until.sequence:
            self.is_over = True
        else:
            self._read_page()

    def _read_page(self) -> None:
        try:
            self._page = self._read(self._after, _PAGE_MESSAGES)
        except PositionLost as lost:
            self._lose(lost.reason)

    def _lose(self, reason: str, since: Position | None = None) -> None:
        self._page = Gap(reason, since or self._until)
        self.starts_at = None
        self._gaps[reason] += 1

    def _hears(self, message: Message) -> bool:
        key = (message.topic, message.sender)
        heard = self._heard.get(key)
        if heard is None:
            heard = self._heard[key] = self._interest.hears(message)
        return heard

    def __repr__(self) -> str:
        return f"<Replay from {self._after} to {self._until}>"
