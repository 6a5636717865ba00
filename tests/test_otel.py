"""Tracing with OpenTelemetry's own SDK: which spans there are, what they say, and which messages carry them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlmodel import Field, SQLModel, create_engine
from starlette.types import Send

import nitro
from nitro import Client, EventSourceResponse, Grant, Message, emit, emit_async, on, tracing
from nitro.delivery.hub import Hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidPayload, PayloadTooLarge
from nitro.messages.message import Gap, Position
from nitro.otel import NitroInstrumentor, link_to
from nitro.publisher import Publisher
from nitro.repository import SQLModelRepository
from nitro.testing.conformance import eventually

pytestmark = pytest.mark.usefixtures("hub", "no_handlers")


class Recorded:
    """A tracer provider that keeps the spans that have ended, in their order."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("application")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def clear(self) -> None:
        self._exporter.clear()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    recorded = Recorded()
    NitroInstrumentor().instrument(tracer_provider=recorded.provider)
    yield recorded
    if tracing.tracer is not None:
        NitroInstrumentor().uninstrument()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def context_in(message: Message) -> tuple[int, int]:
    link = link_to(message)
    assert link is not None and link.context.is_remote and link.context.trace_flags.sampled
    return link.context.trace_id, link.context.span_id


def context_of(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def is_child(span: ReadableSpan, of: ReadableSpan) -> bool:
    assert span.parent is not None and span.context is not None
    return (span.context.trace_id, span.parent.span_id) == context_of(of)


def published(hub: Hub) -> list[Message]:
    """Everything in the log of a process of its own."""
    return list(hub.broker.read(Position(hub.broker.head.epoch, 0), 1000))


def test_an_emit_has_a_span_for_its_handlers_and_within_it_one_for_publishing(recorded: Recorded, hub: Hub) -> None:
    @on("todo.*")
    def handler(sender: Any, **kwargs: Any) -> None:
        with recorded.tracer.start_as_current_span("work"):
            pass

    with recorded.tracer.start_as_current_span("request"):
        emit("todo.created", "me", result="milk")
    assert recorded.names == ["work", "publish todo.created", "emit todo.created", "request"]
    emitting, publishing = recorded["emit todo.created"], recorded["publish todo.created"]
    assert is_child(emitting, recorded["request"])
    assert is_child(publishing, emitting)
    assert is_child(recorded["work"], emitting)
    assert (emitting.kind, publishing.kind) == (SpanKind.INTERNAL, SpanKind.PRODUCER)
    assert attributes(emitting) == {
        "messaging.system": "nitro",
        "messaging.operation.name": "emit",
        "messaging.destination.name": "todo.created",
    }
    assert attributes(publishing) == {
        "messaging.system": "nitro",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "todo.created",
        "messaging.message.body.size": len(b'"milk"'),
    }
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}
    scope = emitting.instrumentation_scope
    assert scope is not None and (scope.name, scope.version) == ("nitro", nitro.__version__)
    (message,) = published(hub)
    assert context_in(message) == context_of(publishing)
    assert publishing.context is not None
    flags = publishing.context.trace_flags
    assert message.traceparent == "00-{:032x}-{:016x}-{:02x}".format(*context_of(publishing), flags)


@pytest.mark.parametrize("way", ["emit", "emit_async", "Event.emit", "Event.emit_async"])
def test_each_way_to_emit_is_traced_once(recorded: Recorded, hub: Hub, way: str) -> None:
    event = nitro.event("todo.created")

    async def waited() -> None:
        await (emit_async(event, "me", result=1) if way == "emit_async" else event.emit_async("me", result=1))

    if way.endswith("async"):
        asyncio.run(waited())
    elif way == "emit":
        emit(event, "me", result=1)
    else:
        event.emit("me", result=1)
    assert recorded.names == ["publish todo.created", "emit todo.created"]
    assert context_in(published(hub)[0]) == context_of(recorded["publish todo.created"])


def test_what_is_not_published_has_no_span_for_it_and_what_does_nothing_has_none(recorded: Recorded) -> None:
    with pytest.warns(nitro.NitroWarning):
        emit("todo.created", "me")
    with Client(topics=["a"]):  # emits client_lifecycle, which nobody handles
        pass
    assert recorded.names == []
    on("todo.created")(lambda sender, **kwargs: False)
    emit("todo.created", "me")
    emit("todo.created", "me", result=1)
    assert recorded.names == ["emit todo.created", "emit todo.created"]


def test_asynchronous_handlers_are_children_of_the_emit(recorded: Recorded) -> None:
    @on("todo.created")
    async def handler(sender: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        with recorded.tracer.start_as_current_span("work"):
            pass

    async def scenario() -> None:
        await emit_async("todo.created", "me", result=1)
        assert is_child(recorded["work"], recorded["emit todo.created"])
        recorded.clear()
        emit("todo.created", "me", result=1)
        assert recorded.names == ["publish todo.created", "emit todo.created"], "emit doesn't wait for it"
        async with asyncio.timeout(5):
            while "work" not in recorded.names:
                await asyncio.sleep(0)
        assert is_child(recorded["work"], recorded["emit todo.created"])
        assert not trace.get_current_span().get_span_context().is_valid

    asyncio.run(scenario())
    recorded.clear()
    emit("todo.created", "me", result=1)  # in a thread without a loop
    eventually(lambda: "work" in recorded.names, "the handler has run in the background", 5)
    assert is_child(recorded["work"], recorded["emit todo.created"])


def test_what_a_required_handler_raises_is_recorded_and_raised_as_it_is(recorded: Recorded) -> None:
    error = ZeroDivisionError("no")

    @on("todo.created", required=True)
    def handler(sender: Any, **kwargs: Any) -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as raised:
        emit("todo.created", "me", result=1)
    assert raised.value is error
    with pytest.raises(ZeroDivisionError):
        asyncio.run(emit_async("todo.created", "me", result=1))
    assert recorded.names == ["emit todo.created"] * 2
    for span in recorded.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == "ZeroDivisionError"
        assert [event.name for event in span.events] == ["exception"]


def test_what_can_not_be_sent_fails_the_spans_that_it_concerns(recorded: Recorded) -> None:
    with pytest.raises(InvalidPayload):
        emit("todo.created", "me", result=object())
    assert [(span.name, span.status.status_code) for span in recorded.spans] == [
        ("emit todo.created", StatusCode.ERROR)
    ]
    recorded.clear()
    with pytest.raises(InvalidPayload):
        emit("todo.created", "x" * 5000, result=1)
    assert [(span.name, attributes(span)["error.type"]) for span in recorded.spans] == [
        ("publish todo.created", "InvalidPayload"),
        ("emit todo.created", "InvalidPayload"),
    ]


def test_an_emit_that_is_cancelled_fails_its_span(recorded: Recorded) -> None:
    began = asyncio.Event()

    @on("todo.created")
    async def handler(sender: Any, **kwargs: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    async def scenario() -> None:
        emitting = asyncio.ensure_future(emit_async("todo.created", "me", result=1))
        await began.wait()
        emitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await emitting

    asyncio.run(scenario())
    emitted = recorded["emit todo.created"]
    assert emitted.status.status_code is StatusCode.ERROR
    assert attributes(emitted)["error.type"] == "CancelledError"


def test_a_handler_that_fails_and_is_not_required_fails_no_span(recorded: Recorded) -> None:
    @on("todo.created")
    def handler(sender: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    emit("todo.created", "me", result=1)
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}
    assert len(recorded.spans) == 2


def test_nothing_is_carried_of_what_is_not_sampled(hub: Hub) -> None:
    NitroInstrumentor().instrument(tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False))
    try:
        emit("todo.created", "me", result=1)
    finally:
        NitroInstrumentor().uninstrument()
    (message,) = published(hub)
    assert (message.trace, message.traceparent, link_to(message)) == (None, None, None)


def test_after_uninstrument_everything_is_as_before(recorded: Recorded, hub: Hub) -> None:
    emit("todo.created", "me", result=1)
    NitroInstrumentor().uninstrument()
    with recorded.tracer.start_as_current_span("request"):
        emit("todo.created", "me", result=2)
    assert recorded.names == ["publish todo.created", "emit todo.created", "request"]
    first, second = published(hub)
    assert first.trace is not None and second.trace is None
    assert not NitroInstrumentor().is_instrumented_by_opentelemetry
    NitroInstrumentor().instrument(tracer_provider=recorded.provider)
    emit("todo.created", "me", result=3)
    assert recorded.names[3:] == ["publish todo.created", "emit todo.created"]


def test_no_span_is_recorded_for_deliveries_whoever_reads(recorded: Recorded) -> None:
    async def scenario() -> None:
        clients = [Client(topics=["todo.*"]).connect() for _ in range(20)]
        for number in range(5):
            emit("todo.created", "me", result=number)
        for client in clients:
            messages = client.messages()
            for number in range(5):
                message = await anext(messages)
                assert isinstance(message, Message) and message.data == number
            client.disconnect()

    asyncio.run(scenario())
    assert recorded.names == ["publish todo.created", "emit todo.created"] * 5


def test_a_reader_links_to_the_span_that_published_a_message(recorded: Recorded) -> None:
    async def scenario() -> None:
        with Client(topics=["todo.*"]) as client:
            emit("todo.created", "me", result=1)
            message = await anext(client.messages())
            link = link_to(message)
            assert link is not None
            with recorded.tracer.start_as_current_span("process", links=[link]):
                pass

    asyncio.run(scenario())
    (link,) = recorded["process"].links
    assert link.context.span_id == context_of(recorded["publish todo.created"])[1]
    assert link_to(Gap("expired", Position("e", 1))) is None


def test_a_transaction_carries_the_span_of_its_emit_and_not_that_of_its_commit(recorded: Recorded, hub: Hub) -> None:
    engine = create_engine("sqlite://")
    with Session(engine) as session:
        emit("todo.created", "me", result=1, session=session)
        recorded_before_commit = recorded.names
        with recorded.tracer.start_as_current_span("commit"):
            session.commit()
    engine.dispose()
    assert recorded_before_commit == ["publish todo.created", "emit todo.created"]
    (message,) = published(hub)
    assert context_in(message) == context_of(recorded["publish todo.created"])


@pytest.mark.parametrize("is_async", [False, True], ids=["a session", "an AsyncSession"])
def test_a_transaction_in_the_database_of_the_log_carries_the_span_of_its_emit(
    recorded: Recorded, hub_with: Callable[..., Hub], tmp_path: Path, is_async: bool
) -> None:
    path = tmp_path / "events.db"
    hub = hub_with(broker_url=f"sqlite:///{path}")
    nitro.connect_broker()
    start = hub.broker.head

    async def scenario() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        async with AsyncSession(engine) as session:
            await emit_async("todo.created", "me", result=1, session=session)
            await session.commit()
        await engine.dispose()

    if is_async:
        asyncio.run(scenario())
    else:
        engine = create_engine(f"sqlite:///{path}")
        with Session(engine) as session:
            emit("todo.created", "me", result=1, session=session)
            session.commit()
        engine.dispose()
    eventually(lambda: hub.broker.head != start, "the entry is read", 5)
    (message,) = hub.broker.read(start, 10)
    assert context_in(message) == context_of(recorded["publish todo.created"])


class TracedRow(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    title: str


class TracedTask(nitro.Entity, table=True, live=True, topic="traced_task"):
    title: str


nitro.live_model(TracedRow, "traced")


@pytest.mark.parametrize("broker", ["memory", "sqlite"])
def test_a_transaction_of_live_rows_has_one_span_that_all_of_its_messages_carry(
    recorded: Recorded, hub_with: Callable[..., Hub], tmp_path: Path, broker: str
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    hub = hub_with(broker_url=url if broker == "sqlite" else "memory://")
    nitro.connect_broker()
    start = hub.broker.head
    engine = create_engine(url)
    SQLModel.metadata.create_all(engine, [SQLModel.metadata.tables["tracedrow"]])
    with Session(engine) as session, recorded.tracer.start_as_current_span("request"):
        session.add_all([TracedRow(title="a"), TracedRow(title="b")])
        session.commit()
    engine.dispose()
    eventually(lambda: hub.broker.head.sequence == start.sequence + 3, "all entries are read", 5)
    messages = hub.broker.read(start, 10)
    assert recorded.names == ["publish traced.*", "request"]
    span = recorded["publish traced.*"]
    assert is_child(span, recorded["request"])
    assert span.kind is SpanKind.PRODUCER
    assert attributes(span) == {
        "messaging.system": "nitro",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": "traced.*",
        "messaging.batch.message_count": 3,
    }
    assert {context_in(message) for message in messages} == {context_of(span)}
    assert [message.topic for message in messages][:2] == ["traced.created"] * 2


def test_an_emit_that_interrupts_another_carries_its_own_span(recorded: Recorded, hub: Hub) -> None:
    deliver = hub.deliver

    def interrupting(message: Message) -> None:  # as a finalizer or a signal handler does
        if message.data == "outer":
            emit("todo.inner", "me", result="inner")
        deliver(message)

    hub.broker._deliver = interrupting  # type: ignore[attr-defined]
    emit("todo.outer", "me", result="outer")
    outer, inner = published(hub)
    assert (context_in(outer), context_in(inner)) == (
        context_of(recorded["publish todo.outer"]),
        context_of(recorded["publish todo.inner"]),
    )


def test_what_is_published_over_http_is_a_child_of_its_request(recorded: Recorded, hub: Hub) -> None:
    key = "k" * 16
    publisher = Publisher({key: Grant(["todo.*"], user_id="billing")})

    async def scenario() -> None:
        transport = httpx.ASGITransport(publisher)
        headers = {"authorization": f"Bearer {key}", "idempotency-key": "once"}
        async with httpx.AsyncClient(transport=transport, base_url="http://app", headers=headers) as client:
            for _ in range(2):
                with recorded.tracer.start_as_current_span("POST /publish"):
                    answer = await client.post("/", json={"topic": "todo.created", "result": 1})
                assert answer.json() == {"published": True}

    asyncio.run(scenario())
    assert recorded.names == ["publish todo.created", "emit todo.created", "POST /publish", "POST /publish"]
    assert is_child(recorded["emit todo.created"], recorded.spans[2])
    (message,) = published(hub)
    assert context_in(message) == context_of(recorded["publish todo.created"])


def test_too_large_for_the_log_is_raised_as_without_tracing(recorded: Recorded, hub_with: Callable[..., Hub]) -> None:
    hub_with(max_payload_bytes=1024)
    with pytest.raises(PayloadTooLarge):
        emit("todo.created", "me", result="x" * 1025)
    assert attributes(recorded["emit todo.created"])["error.type"] == "PayloadTooLarge"


def test_instrument_takes_a_provider_and_nothing_else() -> None:
    with pytest.raises(ArgumentTypeError, match="tracer_provider is a TracerProvider"):
        NitroInstrumentor().instrument(tracer_provider="console")
    assert tracing.tracer is None
    assert not NitroInstrumentor().is_instrumented_by_opentelemetry


def test_emits_of_threads_keep_their_spans_apart(recorded: Recorded, hub: Hub) -> None:
    def emit_some(name: str) -> None:
        with recorded.tracer.start_as_current_span(name):
            for _ in range(20):
                emit(f"todo.{name}", "me", result=name)

    threads = [threading.Thread(target=emit_some, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = {context_of(span): span for span in recorded.spans}
    messages = published(hub)
    assert len(messages) == 80
    for message in messages:
        assert spans[context_in(message)].name == f"publish {message.topic}"
        assert context_in(message)[0] == context_of(recorded[message.data])[0]


async def streamed(response: EventSourceResponse, send: Send, until: bytes = b"") -> None:
    """Answer a request whose client goes once the stream stands, and has sent that."""
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def sending(message: Any) -> None:
        await send(message)
        if message.get("more_body") and until in message["body"]:
            gone.set()

    await response({"type": "http", "method": "GET", "query_string": b"", "headers": []}, receive, sending)


async def takes(_: Any) -> None:
    """A client that takes everything."""


async def takes_nothing(_: Any) -> None:
    await asyncio.Event().wait()


async def is_gone(_: Any) -> None:
    raise ConnectionResetError


def test_a_stream_whose_client_is_gone_before_its_first_bytes_has_a_span_that_says_so(recorded: Recorded) -> None:
    asyncio.run(streamed(EventSourceResponse(Client(topics=["a"])), is_gone))
    span = recorded["establish stream"]
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "ConnectionResetError"


def test_a_stream_whose_client_takes_nothing_has_a_span_that_says_so(recorded: Recorded) -> None:
    response = EventSourceResponse(Client(topics=["a"], send_timeout_seconds=0.01))
    asyncio.run(streamed(response, takes_nothing))
    span = recorded["establish stream"]
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span) == {"nitro.resume": "none", "nitro.topics": 1, "error.type": "TimeoutError"}


def test_a_stream_whose_request_is_cancelled_has_a_span_that_says_so(recorded: Recorded) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(streamed(EventSourceResponse(Client(topics=["a"])), takes_nothing))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(scenario())
    span = recorded["establish stream"]
    assert attributes(span)["error.type"] == "CancelledError"
    assert span.events == ()


def test_a_second_stream_of_one_client_fails_its_span_and_the_error_is_raised(recorded: Recorded) -> None:
    async def scenario() -> None:
        client = Client(topics=["a"])
        first = asyncio.create_task(streamed(EventSourceResponse(client), takes_nothing))
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="streamed already"):
            await streamed(EventSourceResponse(client), takes)
        assert attributes(recorded["establish stream"]) == {"error.type": "ConfigurationError"}
        first.cancel()
        await asyncio.wait([first])

    asyncio.run(scenario())


def test_a_stream_is_a_child_of_its_request_and_its_span_ends_before_it(recorded: Recorded) -> None:
    async def scenario() -> None:
        with recorded.tracer.start_as_current_span("GET /events"):
            await streamed(EventSourceResponse(Client(topics=["a"])), takes)

    asyncio.run(scenario())
    assert recorded.names == ["establish stream", "GET /events"]
    assert is_child(recorded["establish stream"], recorded["GET /events"])


def test_a_stream_links_once_to_what_published_several_messages(recorded: Recorded, hub: Hub) -> None:
    start = hub.broker.head
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine, [SQLModel.metadata.tables["tracedrow"]])
    with Session(engine) as session:
        session.add_all([TracedRow(title="a"), TracedRow(title="b")])
        session.commit()
    engine.dispose()
    asyncio.run(streamed(EventSourceResponse(Client(topics=["traced.*"], last_event_id=str(start))), takes))
    span = recorded["establish stream"]
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        context_of(recorded["publish traced.*"])
    ]
    assert all(link.context.is_remote for link in span.links)
    assert attributes(span)["nitro.resume"] == "replayed"


def test_a_live_query_begins_with_its_rows(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'data.db'}")
    monkeypatch.setattr(TracedTask, "_repository", repository)
    SQLModel.metadata.create_all(repository.engine, [SQLModel.metadata.tables["tracedtask"]])
    asyncio.run(streamed(EventSourceResponse(TracedTask.live()), takes, b"data:"))
    repository.close()
    assert attributes(recorded["establish stream"])["nitro.resume"] == "rows"


UNTRACED = """
import asyncio, sys
import nitro
from nitro import Client, EventSourceResponse, emit
client = Client(topics=["todo.*"]).connect()
emit(nitro.event("todo.created"), "me", result={})
EventSourceResponse(client)
assert not [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]
from nitro.otel import NitroInstrumentor
from nitro import tracing
assert tracing.tracer is None, "nothing is traced because it is imported"
"""


def test_nothing_of_opentelemetry_is_imported_before_it_is_asked_for() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", UNTRACED], check=True, timeout=60)


def test_without_opentelemetry_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nitro.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.instrumentor", None)
    with pytest.raises(ImportError, match=r"pip install 'nitro-realtime\[otel\]'"):
        import nitro.otel  # noqa: F401


EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")


def test_opentelemetrys_own_command_switches_it_on() -> None:
    code = "from nitro import tracing; print(tracing.tracer is not None)"
    command = [sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()"]
    environment = {**os.environ, **dict.fromkeys(EXPORTERS, "none")}
    command += [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "True", ended.stderr
