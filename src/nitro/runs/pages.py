"""The pages of a run: what a reader gets of its stream, a page at a time, as its sink takes them.

Fed by the tail of the stream, which all readers of a loop share; feeds an outbox. What is there already comes as few
large pages, what comes then item by item. While there is nothing, the outbox is held, and no task waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from nitro.delivery.chain import Batch
from nitro.delivery.interest import Interest
from nitro.delivery.outbox import Outbox
from nitro.errors import NitroError
from nitro.messages.message import Position
from nitro.runs.frames import Framing
from nitro.streams.errors import InvalidOffset
from nitro.streams.offsets import BEGINNING, Offset
from nitro.streams.page import Page
from nitro.streams.streams import Streams

__all__ = ["RunPages"]

log: Final = logging.getLogger("nitro.runs")

_PAGE_BYTES: Final = 256 * 1024
_RETRY_SECONDS: Final = 0.5
_ALONE: Final = 2
"""Readers of a tail, one of which may be its producer: so many share nothing."""


class RunPages:
    """See `nitro.delivery.backlog.Pages`. Belongs to one outbox.

    Args:
        streams, key: of which stream.
        offset: behind which place.
        framing: how items become bytes.
        on_over: called once the outbox has taken everything, the end included, or the run is gone.

    Attributes:
        starts_at: always None: places in a run are no positions of the log.
        is_over: whether nothing more will come.
    """

    __slots__ = (
        "_exit",
        "_framing",
        "_has_end",
        "_key",
        "_offset",
        "_on_over",
        "_outbox",
        "_reading",
        "_ready",
        "_streams",
        "_tail",
        "is_over",
        "starts_at",
    )

    def __init__(
        self,
        streams: Streams,
        key: str,
        offset: Offset,
        framing: Framing,
        outbox: Outbox,
        on_over: Callable[[], None],
    ) -> None:
        self.starts_at: Position | None = None
        self.is_over: bool = False
        self._streams = streams
        self._key = key
        self._offset = offset
        self._framing = framing
        self._outbox = outbox
        self._on_over = on_over
        self._has_end = False
        self._ready: Page | None = None
        self._reading: asyncio.Task[None] | None = None
        self._exit = ExitStack()
        self._tail = self._exit.enter_context(streams.access.reading(key))
        self._tail.listeners[self._wake] = None

    @property
    def waits(self) -> float:
        """Nothing here counts in a user's pace."""
        return 0.0

    def withhold(self, interest: Interest) -> None:
        """Rights to topics don't concern runs."""

    def next_page(self) -> Batch | None:
        """The next page; None if there is none yet."""
        if self._has_end:  # and it was taken
            self._finish()
            return None
        if self._reading is not None:
            self._outbox.await_page()
            return None
        page, self._ready = self._ready, None
        if page is not None and not page.parts and not page.is_closed:  # something may have come since it was read
            self._offset, page = page.next, None
        if page is None:
            page = self._streams.reading.page_at_hand(self._tail, self._offset)
        if page is None:
            self._outbox.await_page()
            self._reading = asyncio.get_running_loop().create_task(self._read(), name=f"nitro reader of {self._key}")
            return None
        return self._batch(page)

    def close(self) -> None:
        """The reader is gone."""
        self._tail.listeners.pop(self._wake, None)
        self._exit.close()
        if self._reading is not None:
            self._reading.cancel()

    def _wake(self) -> None:
        if self._reading is None:
            self._outbox.continue_pages()

    def _batch(self, page: Page) -> Batch | None:
        self._offset = page.next
        self._has_end = page.is_closed
        if page.parts or page.is_closed:
            if len(page.parts) > 1 or self._tail.readers <= _ALONE:
                return self._framing.batch(page)
            places = [(part.before, part.version) for part in page.parts]
            return self._tail.shared((places, page.is_closed, self._framing), lambda: self._framing.batch(page))
        if page.is_up_to_date:
            self._outbox.await_page()
        return None

    async def _read(self) -> None:
        """Read what isn't at hand; it is afterwards."""
        try:
            self._ready = await self._streams.reading.page_of(self._tail, self._offset, _PAGE_BYTES)
        except InvalidOffset:  # of another stream, or of this one before it was put back
            self._offset = BEGINNING
        except NitroError as error:
            if self._tail.current is None and not self._tail.is_doubtful:
                self._has_end = True  # it has expired
            else:
                log.warning("a reader of %s waits: %s", self._key, error)
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._reading = None
        self._outbox.continue_pages()

    def _finish(self) -> None:
        self.is_over = True
        asyncio.get_running_loop().call_soon(self._on_over)

    def __repr__(self) -> str:
        return f"<RunPages of {self._key} behind {self._offset}{', ended' if self._has_end else ''}>"
