"""Tracing: where a tracer is told of emits, publishes and streams. There is none until `nitro.otel` sets one.

Asked by emissions, brokers, live models and responses: one look at `tracer` is all that it costs without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["Span", "Tracer", "tracer"]


class Span(Protocol):
    """A span that is not the current one, and ends when it is told."""

    def describe(self, attributes: Mapping[str, str | int], traces: Sequence[bytes]) -> None:
        """Give it these attributes, and link it to these trace contexts."""

    def fail(self, error: BaseException) -> None:
        """It ends because of this error."""

    def end(self) -> None:
        """End it. Called once."""


class Tracer(Protocol):
    """Records spans. What is entered makes its span the current one, and records what is raised within."""

    def emitting(self, topic: str) -> AbstractContextManager[object]:
        """The span of an emit: its handlers and its publishing."""

    def publishing(self, topic: str, body_bytes: int) -> AbstractContextManager[object]:
        """The span of publishing one message."""

    def publishing_rows(self, pattern: str, messages: int) -> AbstractContextManager[object]:
        """The span of publishing what one transaction has changed in a live model."""

    def establishing(self) -> Span:
        """The span of establishing a stream."""

    def context(self) -> bytes | None:
        """The trace context that a message published now carries, as `Message.trace`; None if it carries none."""


tracer: Tracer | None = None
"""The tracer of this process; None while nothing is traced. Read it once for each thing that is traced."""
