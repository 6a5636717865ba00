"""The programs of a benchmark: builds the two in C, starts a server or a load client on a core, ends it.

Feeds `trial.py`. Whatever is started here is ended here, and nothing else is.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")

UVICORN = ["--host", "127.0.0.1", "--port", "0", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
APPS = {
    "nitro": "servers.with_nitro:app",
    "queue": "servers.with_queue:app",
    "sse-starlette": "servers.with_sse_starlette:app",
}
SERVERS = ("nitro", "queue", "sse-starlette", "floor")


class BenchmarkError(Exception):
    """The benchmark can't be run, or a run was wrong. The text says what to do."""


def compile_c() -> None:
    """Build client and floor where they are missing or older than their sources."""
    BUILD.mkdir(exist_ok=True)
    newest = max(path.stat().st_mtime for path in (*HERE.glob("*.c"), *HERE.glob("*.h")))
    for name in ("client", "floor"):
        program = BUILD / name
        if program.exists() and program.stat().st_mtime >= newest:
            continue
        if shutil.which("cc") is None:
            raise BenchmarkError("No C compiler `cc` found; on Debian: apt install gcc libc6-dev")
        command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(HERE / f"{name}.c")]
        if subprocess.run(command, check=False).returncode:
            raise BenchmarkError(f"cc could not build benchmarks/{name}.c (see above)")


class Server:
    """A running server: its process id, its port, and the CPU that it has used."""

    def __init__(self, name: str, process_id: int, port: int) -> None:
        self.name = name
        self.process_id = process_id
        self.port = port

    def cpu_seconds(self) -> float:
        """CPU time of all its threads, user and system, in nanosecond steps (/proc/<pid>/stat: 10 ms)."""
        clock = ctypes.c_int()
        error = ctypes.CDLL(None).clock_getcpuclockid(self.process_id, ctypes.byref(clock))
        if error:
            raise BenchmarkError(f"The server {self.name!r} has ended; its log:\n{_log_end(self.name)}")
        return time.clock_gettime(clock.value)


class LoadClient:
    """A running load client, all of whose subscribers are connected. One line asks, one line answers."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests = requests
        self._answers = answers
        self.read()

    def read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise BenchmarkError("The load client has ended (see above)")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, events: int, events_a_fire: int, gap_seconds: float, timeout_seconds: float) -> dict[str, Any]:
        self._requests.write(f"{events} {events_a_fire} {gap_seconds} {timeout_seconds}\n")
        self._requests.flush()
        return self.read()


@contextmanager
def serving(name: str, core: int) -> Iterator[Server]:
    """Start a server on a core, on a port that the kernel chooses; end it at last."""
    if name == "floor":
        command = [str(BUILD / "floor")]
    else:
        command = [sys.executable, "-m", "uvicorn", APPS[name], "--app-dir", str(HERE), *UVICORN]
    with _log(name).open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        os.sched_setaffinity(process.pid, {core})
        yield Server(name, process.pid, _port(name, process))
    finally:
        _end(process)


@contextmanager
def subscribed(server: Server, subscribers: int, core: int) -> Iterator[LoadClient]:
    """Start the load client on a core and subscribe; hang up at last."""
    command = [str(BUILD / "client"), str(server.port), str(subscribers)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdin is None or process.stdout is None:
            raise BenchmarkError("The load client has no pipes")
        os.sched_setaffinity(process.pid, {core})
        yield LoadClient(process.stdin, process.stdout)
    finally:
        _end(process)


def _log(name: str) -> Path:
    return BUILD / f"{name}.log"


def _log_end(name: str) -> str:
    return "\n".join(_log(name).read_text(errors="replace").splitlines()[-15:])


def _port(name: str, process: "subprocess.Popen[bytes]") -> int:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := ADDRESS.search(_log(name).read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.05)
    raise BenchmarkError(f"The server {name!r} did not start; its log:\n{_log_end(name)}")


def _end(process: "subprocess.Popen[Any]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
