"""`nitro bench` as a process, against real servers with a log of their own, and the arithmetic of its figures."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nitro.cli.app import run_app
from nitro.cli.durations import Durations
from nitro.cli.figures import Figures
from nitro.cli.load import Load, Offer
from nitro.delivery import process
from nitro.testing.conformance import eventually
from tests.answering import answering
from tests.commands import Command, run
from tests.servers import ROOT, Server, free_port
from tests.sse import Stream

APP = "tests.apps.listening:app"
FIELDS = """
url mode broker topic rate_per_second clients connected failed failed_by_reason ended ended_by_reason connect_p50_ms
connect_p99_ms connect_max_ms seconds events_offered events_emitted events_refused deliveries_expected deliveries
delivered_share lost gaps latency_p50_ms latency_p90_ms latency_p99_ms latency_max_ms messages_per_second
megabytes_per_second generator_lag_p99_ms generator_kept_up interrupted
"""
"""What programs may rely on, in its order."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('bench')}/events.db"


@pytest.fixture(scope="module")
def server(log: str) -> Iterator[Server]:
    with Server(APP, environment={"NITRO_BROKER_URL": log, "NITRO_MAX_CLIENTS": "30"}) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def until_all_are_gone(server: Server) -> None:
    eventually(lambda: server.get("/left").json()["clients"] == 0, "all are gone", 20)


def check_latency(figures: dict[str, Any]) -> None:
    """It is plausible, or left out on a machine that has too much else to do."""
    latencies = [figures[f"latency_{name}_ms"] for name in ("p50", "p90", "p99", "max")]
    if figures["generator_kept_up"]:
        assert 0 < latencies[0] <= latencies[1] <= latencies[2] <= latencies[3] < 5000
    else:
        assert latencies == [None] * 4
        assert figures["generator_lag_p99_ms"] > 20


# --- against servers


def test_what_is_offered_is_delivered_to_all_and_told_as_one_line_of_json(server: Server, log: str) -> None:
    options = ("--clients", "20", "--seconds", "1", "--rate", "30", "--topic", "todo.bench", "--broker", log)
    done = run("bench", f"{server.url}/events", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    figures = json.loads(done.stdout)
    assert list(figures) == FIELDS.split()
    assert (figures["mode"], figures["broker"], figures["topic"]) == ("emitting", log, "todo.bench")
    assert (figures["clients"], figures["connected"], figures["failed"], figures["ended"]) == (20, 20, 0, 0)
    assert (figures["events_offered"], figures["events_emitted"], figures["events_refused"]) == (30, 30, 0)
    assert (figures["deliveries_expected"], figures["deliveries"], figures["lost"]) == (600, 600, 0)
    assert (figures["delivered_share"], figures["gaps"], figures["interrupted"]) == (1.0, 0, False)
    assert 0 < figures["connect_p50_ms"] <= figures["connect_p99_ms"] <= figures["connect_max_ms"] < 5000
    assert figures["messages_per_second"] > 20 and figures["megabytes_per_second"] > 0
    assert 1 <= figures["seconds"] < 5
    check_latency(figures)
    assert ("was late by itself" in done.stderr) is not figures["generator_kept_up"]
    until_all_are_gone(server)


def test_without_a_broker_nothing_is_emitted_and_what_comes_by_itself_is_counted(server: Server) -> None:
    with Command("bench", f"{server.url}/events", "--clients", "5", "--seconds", "1.2") as bench:
        eventually(lambda: server.get("/left").json()["clients"] == 5, "they are connected", 20)
        for n in range(10):
            server.post("/emit?topic=todo.created", json={"n": n})
        assert bench.wait() == 0
    (figures,) = bench.lines
    assert (figures["mode"], figures["broker"], figures["topic"]) == ("listening", None, None)
    assert (figures["connected"], figures["events_offered"], figures["deliveries_expected"]) == (5, 0, 0)
    assert figures["latency_p99_ms"] is None
    heard = figures["messages_per_second"] * figures["seconds"]
    assert 0 < heard < 51


def test_refused_clients_are_counted_by_status_and_the_others_go_on(server: Server, log: str) -> None:
    options = ("--clients", "34", "--seconds", "0.5", "--rate", "10", "--topic", "todo.bench", "--broker", log)
    done = run("bench", f"{server.url}/events", *options)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["connected"], figures["failed"], figures["failed_by_reason"]) == (30, 4, {"429": 4})
    assert (figures["deliveries"], figures["deliveries_expected"]) == (150, 150)
    until_all_are_gone(server)


REFUSALS = {
    "/answers/503": ("503", "nitro: 503: the reason\n"),
    "/own": ("401", "pass --header 'Authorization: Bearer …'\n"),
    "/answers/200": ("no stream", "the answer is no stream of Nitro's"),
    "/events?topic=secret": ("403", "'secret' is not allowed"),
}


@pytest.mark.parametrize("path", REFUSALS)
def test_where_all_are_refused_the_first_reason_is_told_with_code_1(
    path: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    reason, text = REFUSALS[path]
    assert run_app(["bench", server.url + path, "--clients", "3"]) == 1
    out, errors = capsys.readouterr()
    assert json.loads(out)["failed_by_reason"] == {reason: 3}
    assert text in errors and errors.count("\n") == 1


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
OTHERS = {
    "a refusal that ends with its connection": (
        b'HTTP/1.0 403 Forbidden\r\ncontent-type: application/json\r\n\r\n{"detail":"you may not"}',
        "403",
        "403: you may not",
    ),
    "a redirect": (
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: https://ann:pw@h/new?token=pw\r\ncontent-length: 0\r\n\r\n",
        "307",
        "307: it redirects to https://h/new, which",
    ),
    "a redirect to a path": (
        b"HTTP/1.1 308 Permanent Redirect\r\nlocation: /new?token=pw\r\ncontent-length: 0\r\n\r\n",
        "308",
        "308: it redirects to /new, which",
    ),
    "a stream with other lines": (STREAM + b"data: hello\r\n\r\n", "no stream", "no stream of Nitro's"),
    "a silent stream": (STREAM, "no stream", "no stream of Nitro's"),
    "nothing": (b"", "TimeoutError", "can't be reached: no answer came within 3 s"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_others_answer_is_told_as_what_it_is(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitro.cli.load.CONNECT_SECONDS", 3.0)
    answer, reason, text = OTHERS[name]
    with answering(lambda _: answer, ends="connection" in name) as url:
        assert run_app(["bench", f"{url}/events", "--clients", "2", "--connects-per-second", "1000"]) == 1
    out, errors = capsys.readouterr()
    assert json.loads(out)["failed_by_reason"] == {reason: 2}
    assert text in errors and errors.count("\n") == 1
    assert "pw" not in errors


def test_a_server_that_is_away_is_told_with_code_1_and_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["bench", f"http://ann:secret@127.0.0.1:{free_port()}/events", "--clients", "2"]) == 1
    out, errors = capsys.readouterr()
    assert json.loads(out)["failed_by_reason"] == {"ConnectionRefusedError": 2}
    assert re.fullmatch(r"nitro: http://127\.0\.0\.1:\d+/events can't be reached: [^\n]+\n", errors)
    assert "secret" not in out + errors


def test_events_that_nobody_hears_are_told_with_code_1(server: Server, log: str) -> None:
    options = ("--clients", "2", "--seconds", "0.2", "--topic", "todo.bench", "--broker", log)
    done = run("bench", f"{server.url}/events", *options, NITRO_NAMESPACE="another")
    assert done.returncode == 1
    figures = json.loads(done.stdout)
    assert (figures["events_emitted"], figures["deliveries"], figures["lost"]) == (2, 0, 4)
    assert "nobody heard todo.bench" in done.stderr and "NITRO_NAMESPACE" in done.stderr


def test_a_server_that_dies_in_the_middle_is_seen_as_losses_and_the_command_ends_in_time(tmp_path: Path) -> None:
    log = f"sqlite:///{tmp_path}/events.db"
    options = ("--clients", "10", "--seconds", "1.5", "--rate", "20", "--topic", "todo.bench", "--broker", log)
    with (
        Server(APP, environment={"NITRO_BROKER_URL": log}) as server,
        Command("bench", f"{server.url}/events", *options) as bench,
    ):
        stream = Stream(server.port, "/events?topic=todo.*")
        stream.events(5)
        server.kill()
        assert bench.wait() == 1
        stream.socket.close()
    (figures,) = bench.lines
    assert (figures["connected"], figures["ended"], figures["events_offered"]) == (10, 10, 30)
    assert figures["ended_by_reason"].keys() <= {"ConnectionError", "ConnectionResetError"}
    assert figures["deliveries_expected"] == 300
    assert 0 < figures["deliveries"] < 300
    assert figures["lost"] == 300 - figures["deliveries"]
    assert "all streams ended before the time: 10 × Connection" in bench.errors


def test_what_a_server_that_stands_still_delivers_after_the_end_is_late_and_not_lost(server: Server, log: str) -> None:
    options = ("--clients", "5", "--seconds", "0.6", "--rate", "20", "--topic", "todo.bench", "--broker", log)
    with Command("bench", f"{server.url}/events", *options) as bench:
        stream = Stream(server.port, "/events?topic=todo.*")
        stream.events(4)  # all others have the one before, then
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        server.process.send_signal(signal.SIGCONT)
        assert bench.wait() == 0, bench.errors
        stream.socket.close()
    (figures,) = bench.lines
    assert (figures["deliveries"], figures["lost"], figures["gaps"]) == (60, 0, 0)
    assert 15 <= round(figures["messages_per_second"] * figures["seconds"]) < 60  # those while it measured
    check_latency(figures)
    assert not figures["generator_kept_up"] or figures["latency_max_ms"] > 400
    until_all_are_gone(server)


def test_ctrl_c_ends_it_with_what_was_measured(server: Server, log: str) -> None:
    options = ("--clients", "5", "--seconds", "60", "--rate", "20", "--topic", "todo.bench", "--broker", log)
    with Command("bench", f"{server.url}/events", *options) as bench:
        stream = Stream(server.port, "/events?topic=todo.*")
        dues = [int(event["nitro_bench"].rpartition(":")[2]) for event in stream.events(5)]
        server.process.send_signal(signal.SIGSTOP)  # what it was offered is still to be heard
        time.sleep(0.2)
        bench.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGCONT)
        assert bench.wait() == 130
        stream.socket.close()
    assert "Traceback" not in bench.errors and "Warning" not in bench.errors
    (figures,) = bench.lines
    assert figures["interrupted"] is True
    assert figures["events_emitted"] >= 5
    assert (figures["deliveries"], figures["lost"]) == (5 * figures["events_emitted"], 0)
    assert figures["seconds"] < 50
    for one, other in pairwise(dues):  # when they were due, not when they were emitted
        assert abs(other - one - 50_000_000) < 5_000
    until_all_are_gone(server)


def test_a_load_that_it_can_not_offer_has_no_latencies(server: Server, log: str) -> None:
    options = ("--clients", "2", "--seconds", "0.2", "--rate", "1000000", "--topic", "todo.bench", "--broker", log)
    done = run("bench", f"{server.url}/events", *options, NITRO_MAX_PUBLISH_QUEUE="1000000")
    figures = json.loads(done.stdout)
    assert figures["events_offered"] == 200_000 > figures["events_emitted"] > 0
    assert figures["generator_kept_up"] is False
    assert (figures["latency_p50_ms"], figures["latency_max_ms"]) == (None, None)
    assert "this process was late by itself" in done.stderr


def test_on_a_terminal_it_shows_progress_and_then_a_table(server: Server, log: str) -> None:
    options = ("--clients", "5", "--seconds", "1", "--topic", "todo.bench", "--broker", log)
    end, terminal = pty.openpty()
    shown = bytearray()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "nitro", "bench", f"{server.url}/events", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "TERM": "xterm-256color"},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)

    def read() -> None:
        try:
            while piece := os.read(end, 65536):
                shown.extend(piece)
        except OSError:  # the end of a terminal
            pass

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(30) == 0
    reader.join(5)
    os.close(end)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"connecting +━+ +\d of 5 clients", text)
    assert re.search(r"measuring +━+ +\d of 1 s", text)
    table = text[text.index("┌") :]
    assert re.search(r"│ connected +│ 5 of 5 ", table)
    assert re.search(r"│ delivered +│ 50 of 50 \(100\.00%\) ", table)
    assert shown.decode().partition("┌")[0].endswith("\x1b[2K")  # the progress is gone


def test_it_measures_over_tls_with_the_header_that_it_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = str(tmp_path / "it.crt"), str(tmp_path / "it.key")
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*request, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with Server(APP, options=("--ssl-keyfile", key, "--ssl-certfile", certificate)) as server:
        command = ("bench", f"https://localhost:{server.port}/own", "--clients", "3", "--seconds", "0.2")
        header = ("-H", "Authorization: Bearer ann")
        done = run(*command, *header, SSL_CERT_FILE=certificate)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["connected"] == 3
        assert run_app([*command, *header]) == 1
    assert json.loads(capsys.readouterr().out)["failed_by_reason"] == {"SSLCertVerificationError": 3}


ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = (
    b'id: e-1\ndata: nitro.stream\ndata: {"heartbeat": 15, "retry": 2000}\n\n',
    b'id: e-2\ndata: todo.a\ndata: "\xc3\xbc"\n\n: a heartbeat\n\n',
    b'event: gap\nid: e-5\ndata: {"reason": "slow", "resumed_at": "e-5"}\n\n',
    b"id: e-6\ndata: todo.a\ndata: 2\n\n",
)


def test_pieces_of_any_size_are_read_and_gaps_counted() -> None:
    """The server writes byte by byte, and closes the connection in the middle of a chunk."""
    asked: list[bytes] = []
    runs: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        late = f'id: e-7\ndata: todo.a\ndata: {{"nitro_bench":"{runs[0]}:{time.monotonic_ns() - 5_000_000_000}"}}\n\n'
        body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in (*EVENTS, late.encode()))
        for byte in ANSWER + body + b"ff\r\nid":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async def measure() -> Load:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://ann:p%20w@127.0.0.1:{server.sockets[0].getsockname()[1]}/events?a=1"
            load = Load(Offer(url, {"X-Own": "ü"}, ["todo.*"], None, clients=1, seconds=0.5, rate=1, connect_rate=1))
            runs.append(load._run)
            load.figures.is_measuring = True  # also what comes at once
            await load.run()
            return load

    figures = asyncio.run(measure()).figures
    assert (figures.connected, figures.ended) == (1, {"ConnectionError": 1})
    assert (figures.messages, figures.gaps, figures.delivered) == (3, 1, 1)
    assert 5000 < (figures.latencies.max_ms or 0) < 10_000
    head = asked[0].decode().lower()
    assert head.startswith(
        ("get /events?a=1&envelope=1&topic=todo.* http/1.1\r\n", "get /events?a=1&envelope=1&topic=todo.%2a")
    )
    assert "authorization: basic yw5uonagdw==\r\n" in head
    assert "x-own: ü\r\n" in head


# --- wrong commands

URL = "http://127.0.0.1:1/events"
WRONG = {
    "no clients": ((URL, "--clients", "0"), "--clients is at least 1, not 0"),
    "no rate": ((URL, "--rate", "0", "--broker", "sqlite:///e.db"), "--rate is a number above 0, not 0"),
    "an endless rate": ((URL, "--rate", "inf", "--broker", "sqlite:///e.db"), "--rate is a number above 0, not inf"),
    "a rate without a broker": ((URL, "--rate", "5"), "--rate is that of events, which need --broker"),
    "no time": ((URL, "--seconds", "nan"), "--seconds is a number above 0, not nan"),
    "no connects": ((URL, "--connects-per-second", "-1"), "--connects-per-second is a number above 0, not -1"),
    "no URL": (("events",), "begins with http:// or https://"),
    "a port that is none": (("http://x:y/",), "can't be read: Invalid port: 'y'"),
    "a name that is none": (("http://a..b/",), "label empty"),
    "a topic that is none": ((URL, "--topic", "a b"), "'a b' has ' ' at character 2"),
    "a pattern to emit": ((URL, "--topic", "a.*", "--broker", "sqlite:///e.db"), "a.*"),
    "half a header": ((URL, "-H", "token"), "'Name: value', not 'token'"),
    "a header that is none": ((URL, "-H", "a b: c"), "'a b' is no name of a header"),
    "a log of one process": ((URL, "--broker", "memory://"), "which broker?"),
    "an unknown broker": ((URL, "--broker", "kafka://x"), "--broker starts with 'kafka'"),
    "too many files": ((URL, "--clients", "99999999"), "99,999,999 clients need 100,000,049 open files"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_is_told_in_one_line_with_code_2_before_anything_is_done(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "_hub", None)  # as in a process of its own, which has done nothing before
    monkeypatch.setattr(process, "_broker", None)
    arguments, text = WRONG[name]
    assert run_app(["bench", *arguments]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("nitro: ") and errors.count("\n") == 1
    assert text in errors
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_files_that_is_too_low_is_told_with_its_remedy() -> None:
    command = f"ulimit -n 80; {sys.executable} -m nitro bench {URL} --clients 31"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == (
        "nitro: 31 clients need 81 open files, and this shell allows 80: `ulimit -n 81` before it, or at most "
        "--clients 30\n"
    )


# --- figures


def test_percentiles_are_those_of_the_nearest_rank_and_at_most_a_percent_more() -> None:
    chance = random.Random(5)
    for count in (1, 2, 99, 100, 101, 5000):
        given = sorted(int(chance.lognormvariate(15, 2)) for _ in range(count))
        durations = Durations()
        for each in chance.sample(given, count):
            durations.observe(each)
        for percent in (50, 90, 99, 100):
            exact = given[-(-count * percent // 100) - 1] // 1000 / 1000
            told = durations.percentile_ms(percent)
            assert told is not None and exact <= told <= exact * 1.008 + 1e-9, (count, percent)
        assert durations.max_ms == given[-1] // 1000 / 1000
        assert durations.count == count


def test_without_durations_there_is_no_percentile() -> None:
    assert (Durations().percentile_ms(99), Durations().max_ms) == (None, None)


def test_durations_take_no_more_memory_the_more_there_are() -> None:
    durations = Durations()
    for microseconds in range(100_000):
        durations.observe(microseconds * 1000)
    assert len(durations._counts) < 1600


def of(*, lag_ms: int, latency_ms: int, offered: int = 1, refused: int = 0) -> Figures:
    """Figures of one client and one event."""
    figures = Figures(1)
    figures.connects.observe(1)
    figures.offered, figures.refused = offered, refused
    figures.emit()
    figures.deliver(latency_ms * 1_000_000)
    figures.lags.observe(lag_ms * 1_000_000)
    return figures


def test_latencies_are_left_out_where_they_would_not_be_the_servers() -> None:
    assert of(lag_ms=19, latency_ms=19).kept_up  # so short it doesn't matter
    assert of(lag_ms=100, latency_ms=300).kept_up  # and here it is the smaller part
    assert not of(lag_ms=100, latency_ms=150).kept_up
    assert of(lag_ms=0, latency_ms=1, offered=2, refused=1).kept_up  # that was the broker
    late = of(lag_ms=0, latency_ms=1, offered=2)
    assert not late.kept_up
    assert late.as_dict()["latency_max_ms"] is None
    assert of(lag_ms=0, latency_ms=1).as_dict()["latency_max_ms"] == 1.0


def test_an_event_is_expected_by_all_who_got_a_stream_and_lost_where_one_has_ended() -> None:
    figures = Figures(3)
    figures.connects.observe(1)
    figures.connects.observe(1)
    figures.failed["429"] += 1
    figures.ended["ConnectionError"] += 1
    figures.emit()
    figures.deliver(1000)
    assert (figures.decided, figures.open, figures.expected, figures.lost) == (3, 1, 2, 1)
    assert figures.as_dict()["delivered_share"] == 0.5
