"""Establishing: what a tracer is told of a stream, from the call of its response until its first bytes are out.

Entered by the response; reads what the outbox will give first. Without a tracer it does nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Protocol, Self

from nitro import tracing
from nitro.delivery.outbox import AWAITED, Outbox
from nitro.delivery.query import INCOMPLETE, MISSED

__all__ = ["Establishing", "establishing"]

_MAX_TRACES: Final = 32


class Establishing(Protocol):
    """The time until a stream stands. It ends with the block at the latest."""

    def begins(self, outbox: Outbox) -> None:
        """The client is connected, and nothing was taken of its outbox yet."""

    def fails(self, error: BaseException) -> None:
        """The stream is refused, or the client takes nothing."""

    def end(self) -> None:
        """The stream stands: the server has taken its first bytes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class _Untraced:
    """Shared by all streams."""

    def begins(self, outbox: Outbox) -> None:
        """Nobody asks."""

    def fails(self, error: BaseException) -> None:
        """Nobody asks."""

    def end(self) -> None:
        """Nobody asks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nobody asks."""


class _Traced:
    """Has the span until the stream stands. A stream lives longer than that, and keeps nothing of it."""

    def __init__(self, span: tracing.Span) -> None:
        self._span: tracing.Span | None = span

    def begins(self, outbox: Outbox) -> None:
        if self._span is not None:
            interest = None if outbox.chain is None else outbox.chain.interest
            topics = 0 if interest is None else len(interest.subscriptions)
            resume, traces = _beginning_of(outbox)
            self._span.describe({"nitro.resume": resume, "nitro.topics": topics}, traces)

    def fails(self, error: BaseException) -> None:
        if self._span is not None:
            self._span.fail(error)

    def end(self) -> None:
        span, self._span = self._span, None
        if span is not None:
            span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            self.fails(exc)
        self.end()


_UNTRACED: Final = _Untraced()


def establishing() -> Establishing:
    """Begins now."""
    tracer = tracing.tracer
    return _UNTRACED if tracer is None else _Traced(tracer.establishing())


def _beginning_of(outbox: Outbox) -> tuple[str, list[bytes]]:
    """What it gives first, as far as that is known, and the trace contexts of the first messages of a replay."""
    held_for, replay = outbox.held_for, outbox.replay
    if replay is not None:
        return ("gap" if replay.is_lost else "replayed"), replay.traces(_MAX_TRACES)
    if held_for is not None and held_for not in (AWAITED, INCOMPLETE, MISSED):
        return "held", []
    has_query = outbox.chain is not None and outbox.chain.interest.query is not None
    return ("rows" if has_query else "none"), []
