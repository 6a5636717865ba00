"""The wake-ups of a SQLite log: a commit is read at once, in every process, and what is missed is polled for."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

import nitro
from nitro.brokers import codec, log_broker
from nitro.brokers.sqlite import wakeups
from nitro.brokers.sqlite.log import SQLiteLog
from nitro.brokers.sqlite.wakeup_pipe import WakeupPipe, pipe_beside, wake
from nitro.testing.conformance import RETENTION, eventually
from tests.cast import ends_on, wait_until_open
from tests.hearing import Hearing, engine_on
from tests.servers import ROOT

FAR_SECONDS = 300.0
NEVER_POLLS = f"""
from nitro.brokers import log_broker
from nitro.brokers.sqlite import wakeups
wakeups._POLL_SECONDS = wakeups._POLL_SOON_SECONDS = wakeups._POLL_LATER_SECONDS = {FAR_SECONDS}
log_broker._WAIT_SECONDS = {FAR_SECONDS}
import nitro
"""
"""For another process: from here on only a wake-up explains that it reads anything."""
EMITS_AND_ENDS = "nitro.emit('a.b', result=1); nitro.flush()"
LISTENS = "nitro.connect_broker(); print('listens', flush=True); input()"
COMMITS_AND_IS_GONE = """
import os, sqlalchemy.orm
with sqlalchemy.orm.Session(sqlalchemy.create_engine(os.environ['NITRO_BROKER_URL'])) as session:
    nitro.emit('a.b', result=1, session=session)
    session.commit()
os._exit(0)  # before its own log is open
"""
FORKS = """
import asyncio, os
nitro.connect_broker()
child = os.fork()
async def hear():
    nitro.connect_broker()
    with nitro.Client(topics=['a.*']) as client:
        os.write(1, b'listens\\n')  # in one piece, also where Python's own output isn't buffered
        async for message in client.messages():
            os.write(1, b'parent\\n' if child else b'child\\n')
            break
asyncio.run(hear())
if child:
    os.waitpid(child, 0)
"""
"""Both processes print `listens`, and who they are when they have heard an event."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def never_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on only a wake-up explains that this process reads anything."""
    for name in ("_POLL_SECONDS", "_POLL_SOON_SECONDS", "_POLL_LATER_SECONDS"):
        monkeypatch.setattr(wakeups, name, FAR_SECONDS)
    monkeypatch.setattr(log_broker, "_WAIT_SECONDS", FAR_SECONDS)


@pytest.fixture
def seldom_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a wake-up, or a poll without one, explains that this process reads anything."""
    monkeypatch.setattr(log_broker, "_WAIT_SECONDS", FAR_SECONDS)


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def environment(path: Path) -> dict[str, str]:
    return {**os.environ, "NITRO_BROKER_URL": url_of(path), "NITRO_NAMESPACE": "app", "PYTHONPATH": str(ROOT / "src")}


def run(path: Path, code: str) -> None:
    subprocess.run([sys.executable, "-c", NEVER_POLLS + code], env=environment(path), check=True, timeout=60)


@contextmanager
def running(path: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", NEVER_POLLS + code],
        env=environment(path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # also what it forked, which would keep its output open
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def log_at(path: Path) -> SQLiteLog:
    return SQLiteLog(url_of(path), "app", RETENTION, 1 << 20)


def pipe_of(path: Path) -> Path:
    return Path(pipe_beside(str(path), "app"))


@pytest.mark.usefixtures("never_polls")
def test_an_event_of_another_process_is_heard_long_before_the_next_poll(path: Path) -> None:
    with ends_on(url_of(path), 1, "app") as (end,):
        wait_until_open(end)
        for n in range(3):
            run(path, EMITS_AND_ENDS)
            eventually(lambda n=n: len(end.heard.messages) == n + 1, "it is heard")  # type: ignore[misc]


@pytest.mark.usefixtures("never_polls")
def test_a_process_hears_its_own_events_and_its_own_commits_long_before_the_next_poll(
    path: Path, hub_with: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(hub_with)
    hub_with(broker_url=url_of(path))
    with Hearing("todo.*") as hearing, engine_on(url_of(path)) as engine:
        nitro.emit("todo.created", result="emitted")
        eventually(lambda: hearing.heard == ["emitted"], "what was emitted is heard")
        with Session(engine) as session:
            nitro.emit("todo.created", result="committed", session=session)
            session.commit()
        eventually(lambda: hearing.heard == ["emitted", "committed"], "what was committed is heard")


@pytest.mark.usefixtures("never_polls")
def test_a_commit_in_a_process_that_never_opened_the_log_is_heard_long_before_the_next_poll(path: Path) -> None:
    with ends_on(url_of(path), 1, "app") as (end,):
        wait_until_open(end)
        run(path, COMMITS_AND_IS_GONE)
        eventually(lambda: end.heard.payloads == [b"1"], "it is heard")


@pytest.mark.usefixtures("never_polls")
@pytest.mark.parametrize("name", ["link.db", "directory/events.db", "./events.db", "../{}/events.db"])
def test_two_names_of_one_file_meet(path: Path, name: str) -> None:
    (path.parent / "link.db").symlink_to(path)
    (path.parent / "directory").symlink_to(path.parent)
    other_name = path.parent / name.format(path.parent.name)
    with ends_on(url_of(path), 1, "app") as (end,), ends_on(url_of(other_name), 1, "app") as (other,):
        wait_until_open(end, other)
        for sending, hearing in ((end, other), (other, end)):
            sending.publish(b"1")
            eventually(lambda hearing=hearing: hearing.heard.messages, "it is heard")  # type: ignore[misc]
            hearing.heard.messages.clear()


@pytest.mark.timed
@pytest.mark.usefixtures("seldom_looks")
def test_what_a_writer_without_wake_ups_appends_is_read_at_the_next_poll(path: Path) -> None:
    with ends_on(url_of(path), 1, "app") as (end,):
        wait_until_open(end)
        assert pipe_of(path).is_fifo()
        for n in range(3):
            began = time.monotonic()
            append_by_sql(path, b"%d" % n)
            eventually(lambda n=n: len(end.heard.messages) == n + 1, "it is read")  # type: ignore[misc]
            assert time.monotonic() - began < wakeups._POLL_SECONDS + 2
        assert end.heard.payloads == [b"0", b"1", b"2"]


def append_by_sql(path: Path, payload: bytes) -> None:
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.execute("UPDATE nitro_logs SET sequence = sequence + 1 WHERE namespace = 'app'")
        connection.execute(
            "INSERT INTO nitro_messages SELECT namespace, sequence, ?, ? FROM nitro_logs WHERE namespace = 'app'",
            (time.time(), codec.encode("a.b", None, payload, None)),
        )


@pytest.mark.usefixtures("seldom_looks")
@pytest.mark.parametrize("occupied_by", ["a file", "a directory", "a link to a pipe"])
def test_where_there_can_be_no_pipe_the_file_is_polled_and_nothing_is_said(
    path: Path, occupied_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = pipe_of(path)
    if occupied_by == "a file":
        pipe.write_text("of somebody else")
    elif occupied_by == "a directory":
        pipe.mkdir()
    else:
        os.mkfifo(path.parent / "elsewhere")
        pipe.symlink_to(path.parent / "elsewhere")
    with caplog.at_level(logging.INFO), ends_on(url_of(path), 2, "app") as (one, other):
        wait_until_open(one, other)
        one.publish(b"1")
        one.flush()
        eventually(lambda: other.heard.payloads == one.heard.payloads == [b"1"], "both hear it")
        if occupied_by == "a link to a pipe":
            with pytest.raises(OSError, match="No such device"):  # nobody reads from it
                os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    assert caplog.records == []
    assert occupied_by != "a file" or pipe.read_text() == "of somebody else"


@pytest.mark.usefixtures("seldom_looks")
def test_a_process_that_may_not_write_in_the_directory_polls_and_says_nothing(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("NO OTHER USER: only root can become one who may not write in the directory")
    for parent in path.parents:
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    code = (
        "import asyncio, os, pwd, nitro, nitro.brokers.sqlite.log\n"
        "connect, Client = nitro.connect_broker, nitro.Client\n"
        "os.setuid(pwd.getpwnam('nobody').pw_uid)\n"
        "connect()\n"
        "async def hear():\n"
        "    with Client(topics=['a.*']) as client:\n"
        "        print('listens', flush=True)\n"
        "        async for message in client.messages(): print(message.data, flush=True)\n"
        "asyncio.run(hear())\n"
    )
    with ends_on(url_of(path), 1, "app") as (end,):
        wait_until_open(end)
        pipe_of(path).unlink()  # the next is made when something is read
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").chmod(0o666)
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment(path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert line_of(process) == "listens"
            append_by_sql(path, b"1")
            assert line_of(process) == "1"
        finally:
            process.kill()
            assert process.communicate() == ("", "")


@pytest.mark.usefixtures("never_polls")
def test_readers_that_are_killed_leave_nothing_that_the_next_would_have_to_mind(path: Path) -> None:
    with running(path, LISTENS) as one, running(path, LISTENS) as other:
        assert line_of(one) == line_of(other) == "listens"
        one.send_signal(signal.SIGKILL)
        other.send_signal(signal.SIGKILL)
    assert pipe_of(path).is_fifo()
    with ends_on(url_of(path), 1, "app") as (end,):
        wait_until_open(end)
        run(path, EMITS_AND_ENDS)
        eventually(lambda: end.heard.payloads == [b"1"], "it is heard")
    assert not pipe_of(path).exists(), "the last to close deletes the pipe"
    assert [file for file in path.parent.iterdir() if not file.is_dir()] == [path]


@pytest.mark.usefixtures("never_polls")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_and_its_parent_are_both_woken(path: Path) -> None:
    with running(path, FORKS) as process:
        assert [line_of(process), line_of(process)] == ["listens", "listens"]
        run(path, EMITS_AND_ENDS)
        assert {line_of(process), line_of(process)} == {"child", "parent"}


def test_a_pipe_that_is_deleted_is_made_again_and_goes_on_waking(path: Path) -> None:
    async def main() -> None:
        reading, appending = log_at(path), log_at(path)
        await reading.open()
        await appending.open()
        pipe_of(path).unlink()
        assert await reading.read(0, 10, 0) == []
        assert pipe_of(path).is_fifo()
        await is_woken(reading, appending)
        await reading.close()
        await appending.close()

    asyncio.run(main())


@pytest.mark.usefixtures("never_polls")
def test_a_wake_up_between_two_looks_is_not_lost(path: Path) -> None:
    async def main() -> None:
        reading, appending = log_at(path), log_at(path)
        await reading.open()
        await appending.open()
        for n in range(200):
            entries, _ = await asyncio.gather(
                asyncio.wait_for(reading.read(n, 10, FAR_SECONDS), 20), appending.append("p", n + 1, [b"1"])
            )
            assert [entry.sequence for entry in entries] == [n + 1]
        await reading.close()
        await appending.close()

    asyncio.run(main())


@pytest.mark.usefixtures("never_polls")
def test_whatever_a_stranger_writes_into_the_pipe_wakes_and_does_nothing_else(path: Path) -> None:
    async def main() -> None:
        reading, appending = log_at(path), log_at(path)
        await reading.open()
        await appending.open()
        stranger = os.open(pipe_of(path), os.O_RDWR | os.O_NONBLOCK)
        try:
            with pytest.raises(BlockingIOError):
                while True:
                    os.write(stranger, b"x" * 4096)
            assert await reading.read(0, 10, 0.05) == []
            await is_woken(reading, appending)  # although the pipe is full
        finally:
            os.close(stranger)
        await reading.close()
        await appending.close()

    asyncio.run(main())


async def is_woken(reading: SQLiteLog, appending: SQLiteLog) -> None:
    newest = await reading.newest()
    read = asyncio.create_task(reading.read(newest, 10, FAR_SECONDS))
    await asyncio.sleep(0.05)
    await appending.append("p", newest + 1, [b"1"])
    assert [entry.sequence for entry in await asyncio.wait_for(read, 20)] == [newest + 1]


@pytest.mark.parametrize(("mode", "expected"), [(0o644, 0o600), (0o664, 0o660), (0o666, 0o666), (0o640, 0o600)])
def test_the_pipe_is_for_those_who_may_write_to_the_database(path: Path, mode: int, expected: int) -> None:
    path.touch()
    path.chmod(mode)
    with closing(WakeupPipe(str(pipe_of(path)), str(path))):
        assert stat.S_IMODE(pipe_of(path).stat().st_mode) == expected


def test_one_commit_wakes_every_reader_and_namespaces_do_not_wake_each_other(path: Path) -> None:
    path.touch()
    pipes = [WakeupPipe(str(pipe_of(path)), str(path)) for _ in range(20)]
    stranger = WakeupPipe(pipe_beside(str(path), "other"), str(path))
    for pipe in pipes:
        pipe.clear()
    wake(str(pipe_of(path)))
    assert [pipe.clear() for pipe in pipes] == [True] * 20
    assert [pipe.clear() for pipe in pipes] == [False] * 20
    assert not stranger.clear()
    for pipe in (*pipes, stranger):
        pipe.close()
    assert list(path.parent.iterdir()) == [path]
