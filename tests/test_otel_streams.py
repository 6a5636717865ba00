"""Tracing between processes: what the spans of streams say, and which publishes they link to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import BROKERS
from tests.servers import Server, wait_for
from tests.sse import Stream

BOTH_WAYS = True


class Traced(Server):
    """`tests/apps/traced.py`, and the spans that have ended in it."""

    def __init__(self, directory: Path, name: str = "spans", **environment: str) -> None:
        self.file = directory / f"{name}.jsonl"
        super().__init__("tests.apps.traced:app", environment={"TEST_SPANS": str(self.file), **environment})

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]

    def stream(self, last_event_id: str = "") -> Stream:
        """A stream that stands, and whose span has ended."""
        count = len(self.named("establish stream"))
        stream = Stream(self.port, "/events", f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else "")
        stream.read_until(b"retry")
        wait_for(lambda: len(self.named("establish stream")) == count + 1)
        return stream

    def emit(self, topic: str, count: int = 1) -> None:
        for number in range(count):
            assert self.post(f"/emit?topic={topic}", json=number).status_code == 200

    @property
    def newest(self) -> dict[str, Any]:
        return self.named("establish stream")[-1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Traced]:
    with Traced(tmp_path) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def context(span: dict[str, Any]) -> tuple[str, str]:
    return span["context"]["trace_id"], span["context"]["span_id"]


def linked(span: dict[str, Any]) -> list[tuple[str, str]]:
    return [context(link) for link in span["links"]]


def last_id(stream: Stream) -> str:
    return [line for line in stream.body.split(b"\n") if line.startswith(b"id: ")][-1][4:].decode()


def test_a_streams_span_ends_when_it_stands_and_deliveries_have_none(server: Traced) -> None:
    with server.stream() as stream:
        span = server.newest
        assert span["kind"] == "SpanKind.INTERNAL"
        assert span["attributes"] == {"nitro.resume": "none", "nitro.topics": 2}
        assert (span["links"], span["status"]) == ([], {"status_code": "UNSET"})
        server.emit("todo.created", 5)
        assert stream.events(5) == list(range(5))
        ids = [id for span in server.named("publish todo.created") for id in context(span)]
        assert len(ids) == 10
        assert not any(id[2:].encode() in stream.body for id in ids), "no trace is a browser's business"
    names = [span["name"] for span in server.spans]
    assert names == ["establish stream", *["publish todo.created", "emit todo.created"] * 5]


def test_a_stream_that_resumes_links_to_what_published_the_messages_that_it_missed(server: Traced) -> None:
    with server.stream() as stream:
        server.emit("todo.created")
        stream.events(1)
        id = last_id(stream)
    server.emit("note.created", 2)
    server.emit("other.created")  # which it doesn't hear
    server.emit("todo.created")
    with server.stream(id) as stream:
        assert stream.events(3) == [0, 1, 0]
    missed = server.named("publish note.created") + server.named("publish todo.created")[1:]
    assert linked(server.newest) == [context(span) for span in missed]
    assert server.newest["attributes"] == {"nitro.resume": "replayed", "nitro.topics": 2}
    with server.stream(last_id(stream)):
        assert (server.newest["attributes"]["nitro.resume"], server.newest["links"]) == ("replayed", [])


def test_a_stream_links_to_the_first_32_of_many(server: Traced) -> None:
    with server.stream() as stream:
        server.emit("todo.created")
        stream.events(1)
    server.emit("todo.created", 40)
    with server.stream(last_id(stream)):
        assert linked(server.newest) == [context(span) for span in server.named("publish todo.created")[1:33]]


def test_a_stream_that_gets_a_gap_says_so(server: Traced) -> None:
    server.emit("todo.created")
    with server.stream("gone-7") as stream:
        stream.read_until(b"event: gap")
    assert (server.newest["attributes"]["nitro.resume"], server.newest["links"]) == ("gap", [])


def test_a_stream_that_is_refused_has_a_span_that_says_why(tmp_path: Path) -> None:
    with Traced(tmp_path, NITRO_MAX_CLIENTS="2") as server, server.stream():
        # the application's own reader is the other client
        assert server.get("/events").status_code == 429
        wait_for(lambda: len(server.named("establish stream")) == 2)
        span = server.newest
        assert (span["status"], span["attributes"]) == ({"status_code": "ERROR"}, {"error.type": "TooManyClients"})
        assert span["events"] == []


@pytest.mark.parametrize("kind", BROKERS)
def test_another_process_links_to_the_publish_of_the_first(tmp_path: Path, kind: str) -> None:
    with BROKERS[kind](tmp_path / "broker") as broker:
        options = {"NITRO_BROKER_URL": broker.url}
        with Traced(tmp_path, "one", **options) as one, Traced(tmp_path, "other", **options) as other:
            wait_for(lambda: other.get("/heard").status_code == 200)
            with other.stream() as stream:
                one.emit("todo.created")
                stream.events(1)
                id = last_id(stream)
            one.emit("todo.created", 3)
            publishes = [context(span) for span in one.named("publish todo.created")]
            wanted = [f"00-{trace[2:]}-{span[2:]}" for trace, span in publishes]
            wait_for(lambda: len(other.get("/heard").json()) == 4)
            assert [traceparent.rpartition("-")[0] for traceparent in other.get("/heard").json()] == wanted
            with other.stream(id) as stream:
                assert stream.events(3) == [0, 1, 2]
            assert linked(other.newest) == publishes[1:]
            epoch, _, place = id.partition(".")[0].rpartition("-")
            with other.stream(f"{epoch}-{int(place) + 1000}"):  # which somebody may have read further
                assert other.newest["attributes"]["nitro.resume"] == "held"
            assert {span["name"] for span in other.spans} == {"establish stream"}
            assert len(one.named("emit todo.created")) == 4


def test_a_publish_lasts_until_the_broker_has_acknowledged(tmp_path: Path) -> None:
    with BROKERS["redis"](tmp_path / "broker") as broker:
        options = {"NITRO_BROKER_URL": broker.url, "NITRO_PUBLISH_TIMEOUT_SECONDS": "0.5"}
        with Traced(tmp_path, **options) as server:
            server.emit("todo.created")
            broker.freeze()
            try:
                assert server.post("/emit?topic=todo.late", json=1).status_code == 500
            finally:
                broker.thaw()
            (span,) = server.named("publish todo.late")
            assert span["attributes"]["error.type"] == "BrokerUnavailable"
            assert span["status"]["status_code"] == "ERROR"
            assert [event["name"] for event in span["events"]] == ["exception"]
            (emitting,) = server.named("emit todo.late")
            assert (span["parent_id"], emitting["status"]["status_code"]) == (context(emitting)[1], "ERROR")
