"""The programs of a benchmark: builds those in C, starts a server or a load client on a core, ends it.

Whatever is started here is ended here, and nothing else is.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from servers import BUILD, HERE, Server

START_SECONDS = 30.0
STOP_SECONDS = 3.0
LOAD = HERE / "load"


class BenchmarkError(Exception):
    """The benchmark can't be run, or a run was wrong. The text says what to do."""


def compile_c() -> None:
    """Build client and floor where they are missing or older than their sources."""
    BUILD.mkdir(exist_ok=True)
    newest = max(path.stat().st_mtime for path in LOAD.iterdir())
    for name in ("client", "floor"):
        program = BUILD / name
        if program.exists() and program.stat().st_mtime >= newest:
            continue
        if shutil.which("cc") is None:
            raise BenchmarkError("No C compiler `cc` found; on Debian: apt install gcc libc6-dev")
        command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(LOAD / f"{name}.c")]
        if subprocess.run(command, check=False).returncode:
            raise BenchmarkError(f"cc could not build benchmarks/load/{name}.c (see above)")


class Running:
    """A running server: its port, and the CPU and memory of its processes."""

    def __init__(self, server: Server, process_id: int, port: int) -> None:
        self.server = server
        self.port = port
        self._process_id = process_id

    def get(self, path: str) -> str:
        """The body that it answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            text: str = answer.read().decode()
            return text

    def cpu_seconds(self) -> float:
        """CPU time of all its processes and threads, user and system, in nanosecond steps (/proc/<pid>/stat: 10 ms)."""
        return sum(self._cpu_seconds(process_id) for process_id in self._process_ids())

    def memory_bytes(self) -> int:
        """Proportional set size of all its processes; what the kernel holds for sockets isn't in it."""
        return sum(_kilobytes(process_id, "smaps_rollup", "Pss") for process_id in self._process_ids()) * 1024

    def peak_bytes(self) -> int:
        """The most memory that its processes have had resident, each counted with what it shares."""
        return sum(_kilobytes(process_id, "status", "VmHWM") for process_id in self._process_ids()) * 1024

    def _process_ids(self) -> list[int]:
        found = [self._process_id]
        for process_id in found:
            for children in Path(f"/proc/{process_id}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def _cpu_seconds(self, process_id: int) -> float:
        found = cpu_seconds(process_id)
        if found is None:
            raise BenchmarkError(f"The server {self.server.name!r} has ended; its log:\n{_log_end(self.server)}")
        return found


def cpu_seconds(process_id: int) -> float | None:
    """CPU time of one process, user and system; None if it has ended."""
    clock = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(process_id, ctypes.byref(clock)):
        return None
    return time.clock_gettime(clock.value)


def with_path(**variables: str) -> dict[str, str]:
    """The environment, with `benchmarks/` on Python's path."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **variables}


def _kilobytes(process_id: int, file: str, field: str) -> int:
    for line in Path(f"/proc/{process_id}/{file}").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise BenchmarkError(f"The kernel tells no {field} of a process")


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of the load client does; see `load/client.c`.

    Attributes:
        events: how many, in all.
        events_a_fire: how many of them the server is asked for at once; 1 is lockstep.
        gap_seconds: between two events; 0 is one per tick of the server's loop.
        pad: bytes of padding in a payload.
        timeout_seconds: what has not come by then counts as lost.
        probe_seconds: pause between plain requests beside the stream; 0 for none.
        stop: whether the subscribers that were announced so stop reading.
    """

    events: int
    events_a_fire: int
    gap_seconds: float = 0.0
    pad: int = 60
    timeout_seconds: float = 60.0
    probe_seconds: float = 0.0
    stop: bool = False


class LoadClient:
    """A running load client, all of whose subscribers are connected. One line asks, one line answers."""

    def __init__(self, requests: IO[str], answers: IO[str], *, has_backlog: bool = False) -> None:
        self._requests = requests
        self._answers = answers
        self.connect_seconds = float(self._read()["seconds"])
        self.backlog: dict[str, Any] = self._read() if has_backlog else {}

    def run(self, order: Order) -> dict[str, Any]:
        self._requests.write(
            f"{order.events} {order.events_a_fire} {order.gap_seconds} {order.pad} {order.timeout_seconds} "
            f"{order.probe_seconds} {int(order.stop)}\n"
        )
        self._requests.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise BenchmarkError("The load client has ended (see above)")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def serving(server: Server, core: int, **variables: str) -> Iterator[Running]:
    """Start a server with all its processes on a core, on a free port; end it at last."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["taskset", "-c", str(core), *server.command(port)]
    with _log(server).open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=with_path(**variables), start_new_session=True
        )
    try:
        _await_port(server, process, port)
        yield Running(server, process.pid, port)
    finally:
        _end(process)


@contextmanager
def subscribed(
    running: Running, subscribers: int, core: int, stopping: int = 0, path: str = "/events", backlog: int = 0
) -> Iterator[LoadClient]:
    """Start the load client on a core and subscribe; hang up at last.

    With a `backlog`, which `path` asks for, each subscriber gets so many events that were emitted before.
    """
    command = ["taskset", "-c", str(core), str(BUILD / "client"), str(running.port), str(subscribers), str(stopping)]
    command += [running.server.publish_path, path]
    if backlog:
        command.append(str(backlog))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise BenchmarkError("The load client has no pipes")
        yield LoadClient(process.stdin, process.stdout, has_backlog=backlog > 0)
    finally:
        _end(process)


def _log(server: Server) -> Path:
    return BUILD / f"{server.name}.log"


def _log_end(server: Server) -> str:
    return "\n".join(_log(server).read_text(errors="replace").splitlines()[-15:])


def _await_port(server: Server, process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except OSError:
            time.sleep(0.05)
    raise BenchmarkError(f"The server {server.name!r} did not start; its log:\n{_log_end(server)}")


def _end(process: "subprocess.Popen[Any]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its workers too: each program leads a group of its own
        process.wait()
