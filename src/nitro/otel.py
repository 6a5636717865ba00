"""OpenTelemetry: `NitroInstrumentor().instrument()` traces emits, publishes and streams. Needs `nitro-realtime[otel]`.

```python
NitroInstrumentor().instrument()                     # or without code: opentelemetry-instrument uvicorn app:app

with tracer.start_as_current_span("process todo", links=[link] if (link := link_to(message)) else []):
    ...                                              # in another process: the trace of the emit is one click away
```

It is the only module that imports `opentelemetry`. The spans follow the semantic conventions for messaging, whose names
stand here as text, since their Python package calls them unstable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # untyped
    from opentelemetry.trace import (
        Link,
        Span,
        SpanContext,
        SpanKind,
        StatusCode,
        TraceFlags,
        TracerProvider,
        get_current_span,
        get_tracer,
    )
    from opentelemetry.trace import Tracer as OpenTelemetryTracer
    from opentelemetry.util.types import AttributeValue
except ModuleNotFoundError as _missing:
    raise ImportError("nitro.otel needs opentelemetry: pip install 'nitro-realtime[otel]'") from _missing

from nitro import tracing
from nitro.errors import ArgumentTypeError, NitroError
from nitro.messages.message import Gap, Message

__all__ = ["NitroInstrumentor", "link_to"]

_Attributes: TypeAlias = Mapping[str, AttributeValue]


class NitroInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # see its import
    """Switches the tracing of this process on and off. There is one, whoever constructs it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: it comes with what it instruments."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """Called by `instrument()`.

        Args:
            kwargs: `tracer_provider`, by default the process's own, which may be set later. Others are ignored, as by
                all instrumentors.

        Raises:
            ArgumentTypeError: `tracer_provider` is none.
        """
        provider = kwargs.get("tracer_provider")
        if provider is not None and not isinstance(provider, TracerProvider):
            raise ArgumentTypeError(
                f"tracer_provider is a TracerProvider of OpenTelemetry, and not {provider!a:.80}; leave it out for the "
                f"one that opentelemetry.trace.set_tracer_provider() was given"
            )
        from nitro import __version__

        tracing.tracer = _Tracer(get_tracer("nitro", __version__, provider))

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - as the base class calls it
        """Called by `uninstrument()`: spans that have begun are still recorded."""
        tracing.tracer = None


def link_to(message: Message | Gap) -> Link | None:
    """A link to the span that published `message`, in whichever process; None if it wasn't traced or not sampled."""
    return None if isinstance(message, Gap) or message.trace is None else Link(_span_context(message.trace))


class _Tracer:
    """Spans of OpenTelemetry; see `nitro.tracing.Tracer`."""

    def __init__(self, tracer: OpenTelemetryTracer) -> None:
        self._tracer = tracer

    def emitting(self, topic: str) -> AbstractContextManager[object]:
        return self._span("emit", topic, SpanKind.INTERNAL, {"messaging.destination.name": topic})

    def publishing(self, topic: str, body_bytes: int) -> AbstractContextManager[object]:
        more: _Attributes = {"messaging.destination.name": topic, "messaging.message.body.size": body_bytes}
        return self._publishing(topic, more)

    def publishing_rows(self, pattern: str, messages: int) -> AbstractContextManager[object]:
        more: _Attributes = {"messaging.destination.template": pattern, "messaging.batch.message_count": messages}
        return self._publishing(pattern, more)

    def establishing(self) -> tracing.Span:
        return _Span(self._tracer.start_span("establish stream"))

    def context(self) -> bytes | None:
        context = get_current_span().get_span_context()
        if not context.is_valid or not context.trace_flags & TraceFlags.SAMPLED:
            return None
        return b"%b%b%c" % (context.trace_id.to_bytes(16), context.span_id.to_bytes(8), context.trace_flags & 0xFF)

    def _publishing(self, destination: str, more: _Attributes) -> AbstractContextManager[object]:
        return self._span("publish", destination, SpanKind.PRODUCER, {"messaging.operation.type": "send", **more})

    @contextmanager
    def _span(self, operation: str, destination: str, kind: SpanKind, more: _Attributes) -> Iterator[None]:
        attributes = {"messaging.system": "nitro", "messaging.operation.name": operation, **more}
        name = f"{operation} {destination}"
        with self._tracer.start_as_current_span(name, kind=kind, attributes=attributes) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                if not isinstance(error, Exception):  # a cancellation, which OpenTelemetry would leave out
                    span.set_status(StatusCode.ERROR)
                raise


class _Span:
    """One span of OpenTelemetry; see `nitro.tracing.Span`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def describe(self, attributes: Mapping[str, str | int], traces: Sequence[bytes]) -> None:
        self._span.set_attributes(attributes)
        for trace in traces:
            self._span.add_link(_span_context(trace))

    def fail(self, error: BaseException) -> None:
        self._span.set_attribute("error.type", type(error).__qualname__)
        self._span.set_status(StatusCode.ERROR)
        if not isinstance(error, NitroError) and isinstance(error, Exception):  # else it is an answer, or the client's
            self._span.record_exception(error)

    def end(self) -> None:
        self._span.end()


def _span_context(trace: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace[:16]), int.from_bytes(trace[16:24]), is_remote=True, trace_flags=TraceFlags(trace[24])
    )
