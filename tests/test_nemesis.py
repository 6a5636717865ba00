"""A short nemesis over each of our set-ups, and what its judge sees; `make nemesis` is the long one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nitro.testing.nemesis import Fault, Findings, Plan, judge, run, shell_fault
from nitro.testing.nemesis.fault import process_faults
from nitro.testing.nemesis.journal import Journal, read
from nitro.testing.nemesis.proxy import put_between
from nitro.testing.nemesis.reader import Habit, Reader
from nitro.testing.nemesis.schedule import Step, schedule
from tests.documents import Document
from tests.nemesis.setup import SetUp
from tests.nemesis.setups import SET_UPS
from tests.servers import Server, free_port

PAGE = Document("docs/about/reliability.md")
RUNS_BLOCKS = {"docs/about/reliability.md": ["python", "sh"], "README.md": ["How it was tested: sh"]}
REDIS = "redis://127.0.0.1:6379"
"""The broker there."""
SECONDS = 8.0  # so that enough is emitted between the faults beside other tests, too
SHORT = {
    "sqlite": "file-deleted,file-put-back,file-vacuumed,log-wiped,worker-kill",
    "redis": "redis-kill,redis-restart,log-wiped,connections-ended,worker-kill",
    "redis-forgetful": "redis-kill,redis-restart,everything-flushed,worker-kill",
    "redis-sentinel": "fail-over,connections-ended,worker-kill",
    "redis-virtual-address": "address-moved,address-moved-from-a-dead-one,connections-ended",
    "nats": "nats-kill,nats-restart,stream-deleted,line-cut,worker-kill",
    "nats-three": "leader-kill,leader-steps-down,worker-kill",
    "postgresql": "postgresql-kill,connections-ended,log-wiped,messages-truncated,worker-kill",
    "postgresql-standby": "fail-over,connections-ended",
    "postgresql-bouncer-session": "pool-kill,connections-ended,log-wiped",
    "postgresql-bouncer-transaction": "pool-kill,connections-ended,log-wiped",
}
"""What strikes and is healed in a moment, so that there is much of it."""


def run_on(set_up: SetUp, folder: Path, names: str, seconds: float, seed: int = 1) -> Findings:
    plan = Plan(set_up.url, folder, seconds, seed, set_up.faults(), names.split(","), namespace=set_up.namespace)
    return asyncio.run(run(plan))


ELECTS = "nats-three"
"""Beside other tests its election takes longer than two answers are waited for, as long as an outage may be."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.alone) if kind == ELECTS else kind for kind in SET_UPS]
)
def test_nothing_is_lost_doubled_or_reordered_in_silence(kind: str, tmp_path: Path) -> None:
    with SET_UPS[kind](tmp_path / "servers") as set_up:
        findings = run_on(set_up, tmp_path / "run", SHORT[kind], SECONDS)
    assert findings.is_clean, str(findings)
    assert findings.undone == [], str(findings)
    assert findings.strikes, str(findings)
    assert findings.verdict.messages > 1_000, str(findings)


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run in which nothing was wrong."""
    directory = tmp_path_factory.mktemp("nemesis")
    with SET_UPS["sqlite"](directory) as set_up:
        findings = run_on(set_up, directory / "run", "worker-kill,file-vacuumed", 3)
    assert findings.is_clean, str(findings)
    return directory / "run"


def one_dropped(messages: list[str]) -> None:
    del messages[len(messages) // 2]


def one_doubled(messages: list[str]) -> None:
    messages.insert(len(messages) // 2, messages[len(messages) // 2])


def two_swapped(messages: list[str]) -> None:
    place = len(messages) // 2
    messages[place], messages[place + 1] = messages[place + 1], messages[place]


@pytest.mark.parametrize(
    ("sabotage", "found"), [(one_dropped, "lost"), (one_doubled, "doubled"), (two_swapped, "reordered")]
)
def test_one_message_in_the_log_of_one_reader_is_enough(
    journals: Path, sabotage: Callable[[list[str]], None], found: str
) -> None:
    path = journals / "readers" / "stays-1.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    head, messages = lines[:2], [line for line in lines[2:] if line.startswith('["message"')]
    assert len(messages) > 100
    sabotage(messages)
    path.write_text("".join([*head, *messages]))
    try:
        findings = judge(journals)
    finally:
        path.write_text(whole)
    assert not findings.is_clean
    assert {name: len(wrong) for name, wrong in findings.wrong.items() if wrong} == {found: 1}, str(findings)


def written(folder: Path, *, faults: list[list[object]], heard: list[list[object]]) -> Findings:
    """Of a run with one message at each whole second from 1 to 99, and one reader, who heard this."""
    producer, reader, strikes = (
        Journal(folder / name) for name in ("producers/p.jsonl", "readers/r.jsonl", "faults.jsonl")
    )
    for n in range(1, 100):
        producer.write("try", n, "nemesis.one.a", at=float(n))
        producer.write("acknowledged", n, at=n + 0.1)
    reader.write("reader", "r", ["nemesis.*"], True, at=0.0)
    for journal, lines in ((reader, heard), (strikes, faults)):
        for what, at, *more in lines:
            journal.write(str(what), *more, at=float(str(at)))
    for journal in (producer, reader, strikes):
        journal.close()
    return judge(folder)


def messages(first: int, last: int, delay: float = 0.1, epoch: str = "e") -> list[list[object]]:
    return [["message", n + delay, f"{epoch}-{n}", "p", n] for n in range(first, last + 1)]


def test_an_outage_lasts_until_what_was_emitted_after_the_healing_is_delivered(tmp_path: Path) -> None:
    open_at, late = [["open", 0.5, 8000]], [["message", 60.0 + n / 100, f"e-{n}", "p", n] for n in range(41, 61)]
    heard = [*open_at, *messages(1, 40), *late, *messages(61, 99)]
    struck = [["healed", 44.0, "a", False, 40.0, True], ["healed", 55.0, "b", False, 50.0, True]]
    findings = written(tmp_path / "late", faults=struck, heard=heard)
    assert [strike.outage_seconds for strike in findings.strikes] == pytest.approx([16.44, 5.55])
    assert len(findings.late) == 1
    assert not findings.is_clean
    assert findings.verdict.is_clean
    hasty = [["healed", 44.0, "a", False, 40.0, False], ["healed", 55.0, "b", False, 50.0, True]]
    findings = written(tmp_path / "hasty", faults=hasty, heard=heard)
    assert [strike.outage_seconds for strike in findings.strikes] == [None, pytest.approx(5.55)]
    assert findings.is_clean
    unfinished = written(tmp_path / "end", faults=[["unfinished", 99.0, "it never was"]], heard=heard)
    assert unfinished.late == ["it never was"]
    never = written(tmp_path / "never", faults=[["healed", 98.5, "a", False, 98.0, True]], heard=messages(1, 98))
    assert "never" in never.late[0]


@pytest.mark.parametrize(
    ("may_lose", "is_measured", "began", "healed", "is_right"),
    [
        (True, True, 40.0, 41.0, True),
        (False, True, 40.0, 41.0, False),
        (True, True, 20.0, 21.0, False),
        (True, False, 20.0, 21.0, True),  # nobody waited until it was noticed
        (True, True, 70.0, 71.0, False),
    ],
)
def test_a_gap_needs_a_fault_that_may_lose_something_since_the_last_message(
    tmp_path: Path, may_lose: bool, is_measured: bool, began: float, healed: float, is_right: bool
) -> None:
    heard = [["open", 0.5, 8000], *messages(1, 40), ["gap", 45.05, "f-45", "epoch", 8000], *messages(46, 99, epoch="f")]
    struck = [["healed", healed, "a", may_lose, began, is_measured]]
    findings = written(tmp_path, faults=struck, heard=heard)
    assert findings.is_clean == is_right, str(findings)
    assert len(findings.verdict.false_gaps) == (not is_right)


@pytest.mark.parametrize(("missing", "is_clean"), [(None, True), (11, False), (15, False), (20, True), (21, True)])
def test_whoever_leaves_for_good_has_to_have_heard_what_stands_before_its_last(
    tmp_path: Path, missing: int | None, is_clean: bool
) -> None:
    visitor = Journal(tmp_path / "readers" / "visitor-1.jsonl")
    visitor.write("reader", "visitor-1", ["nemesis.*"], False, at=0.0)
    visitor.write("open", 8000, at=10.5)
    for n in range(11, 21):
        if n != missing:
            visitor.write("message", f"e-{n}", "p", n, at=n + 0.1)
    visitor.write("left", at=22.5)
    visitor.close()
    findings = written(tmp_path, faults=[], heard=[["open", 0.5, 8000], *messages(1, 99)])
    assert findings.is_clean == is_clean, str(findings)
    assert len(findings.verdict.lost) == (not is_clean)


def test_what_nobody_heard_is_not_missed_by_whoever_had_left(tmp_path: Path) -> None:
    visitor = Journal(tmp_path / "readers" / "visitor-1.jsonl")
    visitor.write("reader", "visitor-1", ["nemesis.*"], False, at=0.0)
    visitor.write("open", 8000, True, at=10.5)
    for n in range(11, 21):
        visitor.write("message", f"e-{n}", "p", n, at=n + 0.1)
    visitor.write("left", at=20.5)
    visitor.close()
    gap = ["gap", 25.5, "f-0", "epoch", 8000]
    heard = [["open", 0.5, 8000, True], *messages(1, 20), gap, *messages(26, 99, epoch="f")]
    findings = written(tmp_path, faults=[["healed", 25.0, "a", True, 21.0, True]], heard=heard)
    assert findings.is_clean, str(findings)
    assert findings.verdict.announced == 5


def test_a_stream_that_was_open_before_its_worker_had_reached_the_log_begins_with_a_gap(tmp_path: Path) -> None:
    for name, has_place in (("here", True), ("nowhere", False)):
        heard = [["open", 10.5, 8000, has_place], ["gap", 15.5, "e-15", "epoch", 8000], *messages(16, 99)]
        findings = written(tmp_path / name, faults=[], heard=heard)
        assert len(findings.verdict.false_gaps) == has_place, str(findings)


def test_whoever_was_killed_leaves_what_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    journal = Journal(path)
    journal.write("try", 1, "a", at=1.0)
    journal.close()
    with path.open("a") as file:
        file.write('["acknowle')
    assert list(read(path)) == [["try", 1.0, 1, "a"]]


def test_the_schedule_is_a_function_of_the_seed_and_every_fault_has_its_turn() -> None:
    faults = [*process_faults([], [], lambda _: None), shell_fault("mine", "true", may_lose=True)]

    def first(seed: int, count: int) -> list[Step]:
        return list(itertools.islice(schedule(faults, seed), count))

    assert first(7, 100) == first(7, 100)
    assert first(7, 100) != first(8, 100)
    for turn in range(3):
        steps = first(7, 100)[turn * len(faults) : (turn + 1) * len(faults)]
        assert {step.fault.name for step in steps} == {fault.name for fault in faults}
    steps = first(7, 1_000)
    assert {step.joined.joins for step in steps if step.joined} == {True}
    assert any(step.is_hasty for step in steps)


@pytest.mark.parametrize(
    ("url", "servers", "expected"),
    [
        ("redis://:p%40ss@127.0.0.1:6390/2?x=1", 1, "redis://:p%40ss@127.0.0.1:{0}/2?x=1"),
        ("redis://localhost", 1, "redis://127.0.0.1:{0}"),
        ("nats://a:4222,b:4223?replicas=3", 2, "nats://127.0.0.1:{0},127.0.0.1:{1}?replicas=3"),
        ("postgresql://u@db/app", 1, "postgresql://u@127.0.0.1:{0}/app"),
        ("postgresql://u@db/app?sslmode=require", 0, "postgresql://u@db/app?sslmode=require"),
        ("redis+sentinel://127.0.0.1:26379/mine", 0, "redis+sentinel://127.0.0.1:26379/mine"),
        ("rediss://127.0.0.1:6390", 0, "rediss://127.0.0.1:6390"),
        ("sqlite:////var/lib/events.db", 0, "sqlite:////var/lib/events.db"),
    ],
)
def test_a_proxy_is_put_before_each_server_that_is_where_the_url_says(url: str, servers: int, expected: str) -> None:
    with contextlib.ExitStack() as stack:
        through, proxies = put_between(url, stack)
        assert len(proxies) == servers
        assert through == expected.format(*(proxy.port for proxy in proxies))


def test_a_command_of_ones_own_is_a_fault_and_is_told_when_it_fails(tmp_path: Path) -> None:
    def strike(fault: Fault) -> None:
        with fault.strike(random.Random(1)):
            pass

    strike(shell_fault("mine", f"echo struck > {tmp_path / 'it'}", may_lose=False))
    assert (tmp_path / "it").read_text() == "struck\n"
    with pytest.raises(RuntimeError, match=r"exited with 3: no such thing"):
        strike(shell_fault("mine", "echo no such thing; exit 3", may_lose=False))


def nemesis(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nitro.testing.nemesis", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_anyone_runs_it_on_a_set_up_of_their_own(tmp_path: Path) -> None:
    """By the command of the documentation, with a broker that is here, less time, and a fault that can't be done."""
    _, command = PAGE.the("sh").source.replace("\\\n", "").splitlines()
    program, *words = shlex.split(command)
    assert (program, words[:2]) == ("python", ["-m", "nitro.testing.nemesis"])
    here = {
        REDIS: f"sqlite:///{tmp_path / 'events.db'}",
        "10": "0.08",
        "restart=docker restart redis": "restart=exit 1",
        "flush=redis-cli FLUSHALL": f"flush=rm -f {tmp_path}/events.db*",
    }
    assert here.keys() <= set(words)
    app = ["--app", "nitro.testing.nemesis.app:app", "--folder", str(tmp_path / "run"), "--faults", "flush,restart"]
    done = nemesis(*(here.get(word, word) for word in words[2:]), *app)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "seed 7"
    assert "flush (may lose)" in done.stdout
    assert "COULD NOT BE DONE: RuntimeError: it exited with 1" in done.stdout
    assert "wrong: 0 lost, 0 doubled, 0 reordered, 0 invented, 0 unannounced, 0 false gaps, 0 late" in done.stdout
    again = nemesis("--judge", str(tmp_path / "run"))
    assert again.returncode == 0
    assert again.stdout in done.stdout
    one = tmp_path / "run" / "readers" / "stays-0.jsonl"
    lines = [line for line in one.read_text().splitlines(keepends=True) if json.loads(line)[0] != "gap"]
    one.write_text("".join(lines))
    assert nemesis("--judge", str(tmp_path / "run")).returncode == 1


def test_the_program_of_the_documentation_runs_it_from_python(tmp_path: Path) -> None:
    source = PAGE.the("python").source
    for there, here in {
        REDIS: "sqlite:///events.db",
        "docker restart redis": "true",
        "seconds=60": "seconds=3",
    }.items():
        assert there in source
        source = source.replace(there, here)
    subprocess.run([sys.executable, "-c", source], cwd=tmp_path, check=True, timeout=60)
    assert judge(tmp_path / "nemesis-run").strikes


def test_the_command_of_the_readme_is_the_beginning_of_that_in_the_documentation() -> None:
    short = Document("README.md").the("sh", "How it was tested").source
    assert PAGE.the("sh").source.splitlines()[1].startswith(short.strip())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faults", "flood"], "there is no fault flood; there are machine-busy, producer-freeze"),
        (["--fault", "restart"], "'restart' is not NAME=COMMAND"),
        (["--may-lose", "restart"], "there is no --fault of that name"),
    ],
)
def test_what_is_asked_wrongly_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = nemesis("--broker-url", f"sqlite:///{tmp_path / 'events.db'}", "--folder", str(tmp_path / "run"), *arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("has_log", [True, False])
def test_a_stream_that_opens_before_its_log_is_reached_has_no_place(tmp_path: Path, has_log: bool) -> None:
    """So a gap that comes first is right there."""
    url = f"sqlite:///{tmp_path / 'log.db'}" if has_log else f"nats://127.0.0.1:{free_port()}"
    (tmp_path / "readers").mkdir()

    async def read_for_a_while(port: int) -> None:
        reader = Reader("one", Habit(), [port], tmp_path / "readers", 1)
        reading = asyncio.create_task(reader.live())
        async with asyncio.timeout(20):
            while not reader.is_open:
                await asyncio.sleep(0.05)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading

    with Server("nitro.testing.nemesis.app:app", environment={"NITRO_BROKER_URL": url}) as server:
        asyncio.run(read_for_a_while(server.port))
        opened = [entry for entry in read(tmp_path / "readers" / "one.jsonl") if entry[0] == "open"]
        assert [entry[2:] for entry in opened] == [[server.port, has_log]]
