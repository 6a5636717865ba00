"""A process that forks while its threads use SQLite: each child can use SQLite as well.

Its mutexes belong to the process. Without `nitro.brokers.sqlite.forks` the first children of both scripts wait for ever
for one that a thread had held which they haven't got.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nitro.brokers.sqlite.forks import UNFORKED
from tests.servers import ROOT

_FORKS = """
import os, sys, threading, time

def fork_often(times, in_child):
    for n in range(times):
        time.sleep(0.002 * (n % 3))
        pid = os.fork()
        if pid == 0:
            in_child()
            os._exit(0)
        until = time.monotonic() + 20
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > until:
                os.kill(pid, 9)
                sys.exit(f"child {n} hung")
            time.sleep(0.001)
        assert ended == (pid, 0), f"child {n} failed"
"""

_EMITS = """
import nitro

def emit():
    nitro.emit('a.b', result=1)
    nitro.flush()

def emit_always():
    while True:
        emit()

emit()
threading.Thread(target=emit_always, daemon=True).start()
fork_often(60, emit)
os._exit(0)
"""

_READS_STREAMS = """
import asyncio, sqlite3
from nitro.streams.stores.sqlite.store import SQLiteStore

PATH = sys.argv[1]
ready = threading.Event()

async def read_always():
    store = SQLiteStore(f'sqlite:///{PATH}', 'app')
    await store.open()
    ready.set()
    while True:
        await asyncio.gather(*(store.load(f'k{n}') for n in range(100)))

def look():
    connection = sqlite3.connect(PATH)
    assert connection.execute('SELECT count(*) FROM nitro_streams').fetchone() == (0,)

threading.Thread(target=asyncio.run, args=[read_always()], daemon=True).start()
ready.wait()
fork_often(300, look)
os._exit(0)
"""

_READS_LIVE_QUERIES = """
import asyncio, sqlite3, sqlmodel
from nitro.live.reading import read_rows

PATH = sys.argv[1]
engine = sqlmodel.create_engine(f'sqlite:///{PATH}')
with engine.begin() as connection:
    connection.exec_driver_sql('CREATE TABLE item (id INTEGER)')
ready = threading.Event()

async def read_always():
    statement = sqlmodel.select(sqlmodel.column('id')).select_from(sqlmodel.table('item'))
    while True:
        await asyncio.gather(*(read_rows(engine, statement, tuple) for _ in range(4)))
        ready.set()

def look():
    connection = sqlite3.connect(PATH)
    assert connection.execute('SELECT count(*) FROM item').fetchone() == (0,)

threading.Thread(target=asyncio.run, args=[read_always()], daemon=True).start()
ready.wait()
fork_often(250, look)
os._exit(0)
"""


def run(script: str, *arguments: str, environment: dict[str, str] | None = None, seconds: float = 30) -> str:
    """What it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "script", [_EMITS, _READS_STREAMS, _READS_LIVE_QUERIES], ids=["emits", "reads streams", "reads live queries"]
)
def test_a_process_whose_threads_use_sqlite_may_fork(tmp_path: Path, script: str) -> None:
    path = tmp_path / "app.db"
    environment = {"NITRO_BROKER_URL": f"sqlite:///{path}", "PYTHONPATH": str(ROOT)}
    run(_FORKS + script, str(path), environment=environment, seconds=120)


def test_a_fork_waits_for_a_call_that_goes_on_but_not_for_ever() -> None:
    script = """
import os, threading, time
from nitro.brokers.sqlite.forks import UNFORKED

def hold(seconds, begun):
    with UNFORKED, UNFORKED:
        begun.set()
        time.sleep(seconds)

def fork_beside(seconds):
    begun = threading.Event()
    holder = threading.Thread(target=hold, args=[seconds, begun])
    holder.start()
    begun.wait()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        with UNFORKED:
            os._exit(7)
    took = time.monotonic() - began
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    holder.join()
    return took

print(fork_beside(0.3), fork_beside(2.5))
"""
    short, long = map(float, run(script).split())
    assert 0.2 < short < 1
    assert 0.9 < long < 2
    with UNFORKED:
        assert repr(UNFORKED) == "<1 calls of SQLite>"
    assert repr(UNFORKED) == "<0 calls of SQLite>"


def test_busy_threads_hold_back_while_a_fork_waits() -> None:
    said = run("""
import os, threading, time
from nitro.brokers.sqlite.forks import UNFORKED

def call_always():
    while True:
        with UNFORKED:
            time.sleep(0.001)

for _ in range(4):
    threading.Thread(target=call_always, daemon=True).start()
for _ in range(5):
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if repr(UNFORKED) == "<0 calls of SQLite>" else 1)
    took = time.monotonic() - began
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    print(took, flush=True)
os._exit(0)
""")
    took = sorted(map(float, said.split()))
    assert len(took) == 5
    assert took[2] < 0.5, took


@pytest.mark.timed
def test_a_call_may_fork_and_both_sides_go_on() -> None:
    run("""
import os, time
from nitro.brokers.sqlite.forks import UNFORKED

with UNFORKED, UNFORKED:
    began = time.monotonic()
    pid = os.fork()
    took = time.monotonic() - began
    assert repr(UNFORKED) == "<2 calls of SQLite>"
assert repr(UNFORKED) == "<0 calls of SQLite>"
if pid:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert took < 0.5, took
""")
