"""`nitro tail`, `emit` and `log` as processes, against real servers and brokers: output, exit codes, terminals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import httpx
import pytest

from nitro.testing.conformance import eventually
from tests.brokers import BROKERS
from tests.commands import Command, run
from tests.servers import ROOT, Server, free_port
from tests.services import RedisServer

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    environment = {"NITRO_RETRY_MILLISECONDS": "50", "NITRO_HEARTBEAT_SECONDS": "1"}
    with Server("tests.apps.listening:app", environment=environment) as started:
        yield started
    assert "Traceback" not in started.output, started.output


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A log in a file, with one message."""
    url = f"sqlite:///{tmp_path}/events.db"
    assert run("emit", "todo.created", '{"id": 1}', "--broker", url).returncode == 0
    return url


def until_clients(server: Server, count: int) -> None:
    eventually(lambda: server.get("/left").json()["clients"] == count, f"there are {count} clients", 20)


def emit(server: Server, *results: object, topic: str = "todo.changed") -> None:
    for result in results:
        server.post(f"/emit?topic={topic}", json=result).raise_for_status()


# --- tail


def test_tail_writes_json_lines_into_a_pipe_over_a_cut(server: Server) -> None:
    with Command("tail", "todo.*", "--url", f"{server.url}/events") as tail:
        until_clients(server, 1)
        emit(server, {"n": 1, "text": "ü"})
        server.post("/disconnect")
        emit(server, "two")
        first, second = tail.until_lines(2)
        assert first["topic"] == "todo.changed"
        assert [first["data"], second["data"]] == [{"n": 1, "text": "ü"}, "two"]
        assert first["id"] != second["id"]
        assert tail.interrupt() == 130
    assert tail.errors == ""
    assert tail.output.isprintable() is False and "\x1b" not in tail.output
    until_clients(server, 0)


def test_tail_shows_lines_on_a_terminal_that_no_message_can_command(server: Server) -> None:
    with Command("tail", "--url", f"{server.url}/events", on_terminal=True) as tail:
        until_clients(server, 1)
        emit(server, {"title": "Milk"})
        emit(server, "\x1b]0;owned\x07\u202e\x9b2J")
        tail.until("2J")
        assert tail.interrupt() == 130
    assert "\x1b[" in tail.output
    assert "\x1b]" not in tail.output and "\x07" not in tail.output and "\u202e" not in tail.output
    first, second = ANSI.sub("", tail.output).splitlines()[:2]
    assert re.fullmatch(r'\d\d:\d\d:\d\d  todo\.changed  \{"title": "Milk"\}', first)
    assert second.endswith(r'"\u001b]0;owned\u0007\u202e\u009b2J"')
    assert tail.errors == ""


@pytest.mark.parametrize("on_terminal", [False, True])
def test_tail_says_where_messages_are_missing(on_terminal: bool, server: Server) -> None:
    with Command("tail", "--url", f"{server.url}/events", "--since", "another-7", on_terminal=on_terminal) as tail:
        tail.until("epoch")
    if on_terminal:
        assert "messages are missing here (epoch)" in ANSI.sub("", tail.output)
    else:
        assert tail.lines[0]["gap"] == "epoch"
        assert "-" in tail.lines[0]["resumed_at"]


def test_tail_sends_headers_and_tells_a_refusal_in_one_line(server: Server) -> None:
    refused = run("tail", "--url", f"{server.url}/own")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("nitro: 401: ")
    assert "--header 'Authorization: Bearer …'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    with Command("tail", "--url", f"{server.url}/own", "--header", "Authorization: Bearer ann") as tail:
        until_clients(server, 1)
        emit(server, 1)
        assert tail.until_lines(1)[0]["data"] == 1


def test_tail_waits_for_a_server_that_is_away_and_says_so_once() -> None:
    port = free_port()
    with Command("tail", "--url", f"http://127.0.0.1:{port}/events") as tail:
        eventually(lambda: tail.errors != "", "it says that the server is away", 20)
        with Server("tests.apps.listening:app", port=port) as server:
            until_clients(server, 1)
            emit(server, 1)
            assert tail.until_lines(1)[0]["data"] == 1
            assert tail.interrupt() == 130
    assert re.fullmatch(r"nitro: http://127\.0\.0\.1:\d+/events can't be listened to: [^\n]+\n", tail.errors)


def test_tail_ends_silently_and_at_once_when_its_pipe_is_closed(server: Server) -> None:
    line = f"{sys.executable} -m nitro tail --url {server.url}/events | head -n 1"
    shell = subprocess.Popen(
        ["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until_clients(server, 1)
        emit(server, "first")  # and nothing behind it
        out, errors = shell.communicate(timeout=20)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.communicate()
    assert json.loads(out)["data"] == "first"
    assert errors == ""
    until_clients(server, 0)


def test_tail_reads_a_broker_itself_and_resumes_behind_an_id(log: str) -> None:
    with Command("tail", "todo.*", "--broker", log, "--since", "another-1") as tail:
        assert tail.until_lines(1)[0]["gap"] == "epoch"
        assert run("emit", "todo.created", '{"id": 2}', "--broker", log).returncode == 0
        assert run("emit", "other", "0", "--broker", log).returncode == 0
        assert run("emit", "todo.created", '{"id": 3}', "--broker", log).returncode == 0
        _, second, third = tail.until_lines(3)
        assert [second["data"], third["data"]] == [{"id": 2}, {"id": 3}]
        assert tail.interrupt() == 130
    assert tail.errors == ""
    with Command("tail", "--broker", log, "--since", second["id"]) as tail:
        assert [each["data"] for each in tail.until_lines(2)] == [0, {"id": 3}]


def test_tail_of_a_broker_goes_on_when_it_was_away(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    with redis, Command("tail", "--broker", redis.url) as tail:
        eventually(lambda: _is_heard(tail, redis.url), "it listens", 30)
        redis.freeze()
        time.sleep(0.5)
        redis.thaw()
        assert run("emit", "todo.created", '"behind"', "--broker", redis.url).returncode == 0
        tail.until('"behind"')
        data = [each["data"] for each in tail.lines]
        assert data.count("behind") == 1


def _is_heard(tail: Command, url: str) -> bool:
    run("emit", "todo.probe", "1", "--broker", url)
    return "todo.probe" in tail.output


# --- emit and log


def test_emit_takes_any_json_also_from_stdin_and_is_silent(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    first = run("emit", "a.b", '"text"', "--broker", url)
    second = run("emit", "a.b", "-", "--broker", url, given='{"from": "stdin"}')
    third = run("emit", "a.b", "[null]", NITRO_BROKER_URL=url)
    for done in (first, second, third):
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    told = json.loads(run("log", "--broker", url).stdout)
    assert (told["messages"], told["producers"]) == (3, 3)


def test_what_emit_can_not_read_from_stdin_is_told_in_one_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    deep = run("emit", "a.b", "-", "--broker", url, given="[" * 100_000 + "]" * 100_000)
    command = f"{sys.executable} -m nitro emit a.b - --broker {url} <&-"
    closed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    command = f"printf '\"\\377\"' | {sys.executable} -m nitro emit a.b - --broker {url}"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    binary = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, env=environment)
    for done, text in ((deep, "in each other"), (closed, "stdin, which is closed"), (binary, "can't decode byte 0xff")):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("nitro: ") and done.stderr.count("\n") == 1
        assert text in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["log", "doctor", "types", "--version", "--help"])
def test_output_that_nobody_reads_ends_a_command_silently_and_well(command: str, log: str) -> None:
    arguments = {"log": ["--broker", log], "doctor": ["--broker", log], "types": ["tests.apps.typed:app"]}
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "nitro", command, *arguments.get(command, [])],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    os.close(write)
    assert (done.returncode, done.stderr.removeprefix("imported\n")) == (0, "")


def test_log_tells_the_extent_as_json_in_a_pipe_and_as_a_table_on_a_terminal(log: str) -> None:
    told = json.loads(run("log", "--broker", log).stdout)
    assert told["messages"] == 1
    assert told["bytes"] > len('{"id":1}')
    assert told["broker"] == log
    assert told["namespace"] == "nitro"
    assert told["oldest"] == told["newest"]
    assert re.fullmatch(rf"{told['epoch']}-1\.[0-9a-f]{{6}}", told["newest"])
    assert 0 <= told["newest_seconds"] < 60
    run("emit", "todo.created", '{"id": 2}', "--broker", log)
    with Command("log", "--broker", log, on_terminal=True) as shown:
        assert shown.wait() == 0
    table = ANSI.sub("", shown.output)
    assert re.search(r"messages\s*│\s*2\s*│", table)
    assert re.search(rf"newest\s*│\s*{told['epoch']}-2\.[0-9a-f]{{6}}, 0:00:\d\d ago", table)


def test_the_id_that_log_tells_is_one_to_resume_from(log: str) -> None:
    newest = json.loads(run("log", "--broker", log).stdout)["newest"]
    run("emit", "todo.created", '{"id": 2}', "--broker", log)
    with Command("tail", "--broker", log, "--since", newest) as tail:
        (line,) = tail.until_lines(1)
    assert line["data"] == {"id": 2}


@pytest.mark.parametrize("kind", BROKERS)
def test_log_and_emit_work_with_every_broker(kind: str, tmp_path: Path) -> None:
    with BROKERS[kind](tmp_path) as broker:
        run("emit", "a.b", "1", "--broker", broker.url)  # which makes it
        before = json.loads(run("log", "--broker", broker.url).stdout)
        assert run("emit", "a.b", "1", "--broker", broker.url).returncode == 0
        told = json.loads(run("log", "--broker", broker.url).stdout)
    assert (before["messages"], before["oldest"]) == (1, before["newest"])
    assert (told["messages"], told["producers"]) == (2, 2)


WRONG = {
    "bad JSON": (("emit", "a.b", "{a", "--broker", "sqlite:///e.db"), "'{a' is no JSON"),
    "no result": (("emit", "a.b", "null", "--broker", "sqlite:///e.db"), "null is no result"),
    "a topic with a space": (("emit", "a b", "1", "--broker", "sqlite:///e.db"), "topic 'a b' has ' ' at character 2"),
    "no broker": (("emit", "a.b", "1"), "pass --broker sqlite:///events.db"),
    "an unknown broker": (("emit", "a.b", "1", "--broker", "kafka://x"), "--broker starts with 'kafka'; it may start"),
    "an unknown broker in the environment": (("log",), "NITRO_BROKER_URL starts with 'kafka'"),
    "a file in no directory": (
        ("emit", "a.b", "1", "--broker", "sqlite:////nowhere/e.db"),
        "make it, or correct --broker",
    ),
    "a file to read alone": (("log", "--broker", "sqlite:///e.db?mode=ro"), "--broker has mode=ro"),
    "a wrong setting in the environment": (("emit", "a.b", "1"), "NITRO_HEARTBEAT_SECONDS"),
    "a file that is not there": (("log", "--broker", "sqlite:///nowhere.db"), "there is no file nowhere.db"),
    "nothing to listen to": (("tail",), "pass --url http://host/events, or --broker"),
    "no URL": (("tail", "--url", "events"), "begins with http://"),
    "two sources": (("tail", "--url", "http://x", "--broker", "redis://x"), "--url or --broker, not both"),
    "half a header": (("tail", "--url", "http://x", "--header", "token"), "'Name: value', not 'token'"),
    "a header that can't be sent": (
        ("tail", "--url", "http://x", "-H", "Authorization: Bearer …"),
        "'…' at character 8",
    ),
    "a name that is none": (("tail", "--url", "http://a..b/"), "'http://a..b/' can't be read: "),
    "a header without a URL": (("tail", "--broker", "redis://x", "--header", "a: b"), "--header belongs to --url"),
    "no pattern": (("tail", "todo.**", "--url", "http://x"), "todo.**"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_is_told_in_one_line_with_code_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, text = WRONG[name]
    environment = {"NITRO_BROKER_URL": "kafka://x"} if "environment" in name else {}
    if "setting" in name:
        environment = {"NITRO_HEARTBEAT_SECONDS": "often"}
    done = run(*arguments, **environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("nitro: ") and done.stderr.count("\n") == 1
    assert text in done.stderr
    assert "queued" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("emit", "a.b", "1"), ("log",), ("tail",)], ids=lambda command: command[0])
def test_a_broker_that_is_away_is_told_in_one_line_with_code_1(command: tuple[str, ...]) -> None:
    url = f"redis://ann:secret@127.0.0.1:{free_port()}"
    done = run(*command, "--broker", url, "--timeout", "0.5")
    assert done.returncode == 1
    assert re.fullmatch(r"nitro: the broker was not reached within 0\.5 s: [^\n]+\n", done.stderr)
    assert "secret" not in done.stderr


# --- the whole


def test_help_lists_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("tail", "emit", "log", "doctor", "bench", "types", "skill", "run", "serve"):
        assert re.search(rf"│ {command} +\w", done.stdout), command
        if command != "run":
            assert "usage: nitro " + command in run(command, "--help").stdout.replace("Usage", "usage")
    assert run("--version").stdout.count(".") == 2
    assert run("bogus").returncode == 2


def test_the_console_script_is_the_same_program() -> None:
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["nitro"]
    from nitro.__main__ import main

    assert resolve_name(script) is main


WITHOUT = """
import sys
sys.modules["{missing}"] = None
from nitro.__main__ import main
sys.exit(main({arguments}))
"""


def without(missing: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(missing=missing, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_a_command_names_it_and_run_goes_on_to_work(missing: str) -> None:
    done = without(missing, "tail", "--url", "http://x")
    assert done.returncode == 2
    assert done.stderr == f"nitro: tail needs the package {missing!r}: pip install 'nitro-realtime[cli]'\n"
    assert "pip install 'nitro-realtime[cli]'" in without(missing, "--help").stdout
    assert "nitro-realtime[serve]" in without(missing, "--help").stdout
    assert "nitro-realtime[serve]" in without(missing, "serve").stderr
    assert "usage: nitro run" in without(missing).stderr
    served = without(missing, "run", "--help")
    assert served.returncode == 0
    assert "--workers" in served.stdout


def test_a_package_that_bench_alone_needs_is_named_and_the_others_go_on_to_work() -> None:
    done = without("h11", "bench", "http://x")
    assert done.returncode == 2
    assert done.stderr == "nitro: bench needs the package 'h11': pip install 'nitro-realtime[cli]'\n"
    assert without("h11", "log", "--help").returncode == 0


def test_run_serves_an_application_until_it_is_told_to_stop() -> None:
    with Server("tests.apps.listening:app", runner="nitro") as server:
        assert httpx.get(f"{server.url}/left", trust_env=False).status_code == 200
        server.end(signal.SIGTERM)


def test_a_connection_is_kept_for_longer_than_a_proxy_keeps_it_and_holds_up_no_end() -> None:
    shown = run("run", "--help").stdout.partition("--timeout-keep-alive ")[2].partition(" --")[0]
    assert shown.split()[-2:] == ["[default:", "75]"], "nginx and most others keep it for 60 s"
    with (
        Server("tests.apps.listening:app", runner="nitro", options=("--workers", "2")) as server,
        httpx.Client(base_url=server.url, trust_env=False, verify=False) as proxy,
    ):
        assert proxy.get("/left").status_code == 200
        server.end(signal.SIGTERM, within_seconds=30)


@pytest.mark.parametrize("missing", ["jwt", "cryptography", "itsdangerous"])
def test_without_its_extra_serve_names_it(missing: str) -> None:
    done = without(missing, "serve")
    assert done.returncode == 2
    assert re.fullmatch(r"nitro: [^\n]+: pip install 'nitro-realtime\[\w+\]'\n", done.stderr), done.stderr
