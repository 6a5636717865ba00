"""Every block of `docs/how-to/tracing.md` as it stands there, and its table against what is recorded."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nitro import emit
from nitro.delivery.hub import Hub
from nitro.otel import NitroInstrumentor
from tests import forked
from tests.documents import ROOT, Document
from tests.servers import Server, wait_for
from tests.sse import Stream

PAGE = Document("docs/how-to/tracing.md")
RUNS_BLOCKS = {"docs/how-to/tracing.md": ["python", "sh"]}
TEXT = PAGE.text
APPLICATION, READER = PAGE.all("python")
FIRST = APPLICATION.source
COMMANDS = PAGE.the("sh").source
WANTED = {"establish stream", "publish todo.created", "emit todo.created"}
TO_CONSOLE = {
    "OTEL_BSP_SCHEDULE_DELAY": "20",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


def names(output: str) -> set[str]:
    """The names of the spans that a server has printed."""
    return set(re.findall(r'^ {4}"name": "([^"]+)"', output, re.MULTILINE))


def use(server: Server) -> None:
    """Open a stream, and let it hear an event."""
    with Stream(server.port, "/events") as stream:
        stream.read_until(b"retry")
        assert server.post("/todos?title=Milk").status_code == 200
        assert stream.events(1) == [{"title": "Milk"}]


def test_the_application_prints_its_spans_the_last_ones_too(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FIRST)
    with Server("app:app", directory=tmp_path, environment={"OTEL_BSP_SCHEDULE_DELAY": "60000"}) as server:
        use(server)
        assert names(server.output) == set()
    assert names(server.output) >= WANTED


def test_the_command_needs_nothing_in_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untraced = re.sub(r"^provider = .*?(?=^app = )", "", FIRST, flags=re.MULTILINE | re.DOTALL)
    untraced = untraced.replace("lifespan=lifespan", "")
    assert "NitroInstrumentor()" in FIRST and "NitroInstrumentor()" not in untraced
    (tmp_path / "app.py").write_text(untraced)
    (command,) = re.findall(r"^opentelemetry-instrument (\S+) app:app", COMMANDS, re.MULTILINE)
    assert command == "uvicorn"
    program = Path(sys.executable).with_name("opentelemetry-instrument")
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} {program} {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    monkeypatch.setattr(forked, "is_used", False)
    with Server("app:app", directory=tmp_path, environment=TO_CONSOLE) as server:
        use(server)
        wait_for(lambda: names(server.output) >= WANTED)


@pytest.fixture
def exporter(hub: Hub, no_handlers: None) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    NitroInstrumentor().instrument(tracer_provider=provider)
    yield exporter
    NitroInstrumentor().uninstrument()


def test_a_reader_links_as_shown(exporter: InMemorySpanExporter, capsys: pytest.CaptureFixture[str]) -> None:
    program: dict[str, Any] = {}
    PAGE.run(READER, program)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    program["tracer"] = provider.get_tracer("search")

    async def scenario() -> None:
        reading = asyncio.create_task(program["index"]())
        await asyncio.sleep(0)
        emit("todo.created", "me", result=7)
        async with asyncio.timeout(5):
            while len(exporter.get_finished_spans()) < 3:
                await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(scenario())
    spans = {span.name: span for span in exporter.get_finished_spans()}
    published = spans["publish todo.created"].context
    (link,) = spans["process todo.created"].links
    assert published is not None and link.context.span_id == published.span_id
    assert capsys.readouterr().out.startswith(f"7 00-{published.trace_id:032x}-{published.span_id:016x}-")


def test_the_table_has_every_span_with_its_attributes(exporter: InMemorySpanExporter) -> None:
    rows = dict(re.findall(r"^\| `((?:emit|publish|establish) [^`]+)` \|(.*)$", TEXT, re.MULTILINE))
    assert list(rows) == ["emit {topic}", "publish {topic}", "publish {topic}.*", "establish stream"]
    emit("todo.created", "me", result=7)
    for span in exporter.get_finished_spans():
        row = rows[span.name.replace("todo.created", "{topic}")]
        assert f"| {span.kind.name.lower()} |" in f"|{row}"
        for name, value in (span.attributes or {}).items():
            said = {f"`{name}`", f"`{name}={value!s}`" if isinstance(value, str) else ""}
            assert name == "messaging.system" or any(each and each in row for each in said), name
    sources = [(ROOT / "src/nitro" / name).read_text() for name in ("otel.py", "sse/establishing.py")]
    used = set(re.findall(r'"((?:messaging|nitro|error)\.[a-z_.]+)"', "".join(sources)))
    assert len(used) == 10
    assert [name for name in used if f"`{name}" not in TEXT] == []
    resumes = re.findall(r'return \(?"(\w+)"', sources[1])
    assert {"held", "rows", "gap"} <= set(resumes)
    assert [resume for resume in [*resumes, "replayed", "none"] if f"`{resume}`" not in TEXT] == []
