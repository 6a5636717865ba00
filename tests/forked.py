"""`python -m MODULE` for tests, which does not wait for its imports.

A program spends most of its time on importing FastAPI, SQLAlchemy and pydantic, and the suite starts some two thousand
of them. So they are forked from a process that has these libraries. Each is a process of its own, as it would be
without, with its own arguments, environment, directory, streams and exit code, and ends as an interpreter does. Nitro
itself is never imported in advance. `NITRO_TEST_FRESH=1` starts an interpreter for each.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests import fork_server

_READ_AT_START: Final = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_")
"""Variables that an interpreter reads when it starts, by their beginning. Only PYTHONPATH can be changed later."""

is_used = False
"""Whether programs are forked: those of tests are, and those of benchmarks have interpreters of their own."""


def python_m(
    arguments: Sequence[str],
    *,
    libraries: Sequence[str] | None,
    options: Sequence[str] = (),
    environment: Mapping[str, str],
    cwd: str | Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Forked | subprocess.Popen[str]:
    """Run `python -m` with these arguments: forked, if these libraries may be there already, or in a new interpreter.

    Args:
        options: of the interpreter.
        stdin, stdout, stderr: as those of `Popen`.
    """
    if is_used and libraries is not None and "LD_PRELOAD" not in environment:
        server = _server(options, libraries, environment)
        return server.start(arguments, environment, cwd or Path.cwd(), stdin, stdout, stderr)
    command = [sys.executable, *options, "-m", *arguments]
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdin=stdin, stdout=stdout, stderr=stderr)


class Forked:
    """A program that runs, like a `subprocess.Popen` with text.

    Attributes:
        pid: its id.
        returncode: its exit code, or the negative number of the signal that ended it; None while it runs, or before
            anybody has asked.
    """

    def __init__(self, arguments: list[str], status: int, ends: Sequence[int | None]) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = (
            None if end is None else open(end, mode, encoding="utf-8") for end, mode in zip(ends, "wrr", strict=True)
        )
        self._status = open(status, "rb", buffering=0)
        self._lock = threading.Lock()
        self.pid: int = self._read()

    def poll(self) -> int | None:
        """The exit code, or None."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended. Raises `subprocess.TimeoutExpired` after so many seconds."""
        waiting = select.poll()
        with self._lock:
            if self.returncode is None:
                waiting.register(self._status, select.POLLIN)
                if not waiting.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                self.returncode = self._read()
                self._status.close()
            return self.returncode

    def communicate(self, given: str, timeout: float) -> tuple[str, str]:
        """Write this, and read all that it writes. It is killed if it takes longer."""
        assert self.stdin and self.stdout and self.stderr
        with concurrent.futures.ThreadPoolExecutor(3) as threads, self.stdout, self.stderr:
            said = [threads.submit(stream.read) for stream in (self.stdout, self.stderr)]
            threads.submit(self._write, given)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            output, errors = (each.result() for each in said)
        return output, errors

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _write(self, given: str) -> None:
        assert self.stdin
        with contextlib.suppress(BrokenPipeError), self.stdin:  # it need not read all
            self.stdin.write(given)

    def _read(self) -> int:
        """The next number that the fork server has written: first the id, and then the exit code."""
        written = self._status.read(fork_server.NUMBER.size)
        if not written:
            raise RuntimeError(f"the fork server of {self.args} is gone")
        number: int = fork_server.NUMBER.unpack(written)[0]
        return number


class _Server:
    """A fork server that has these modules, as far as they can be imported, with these options of the interpreter."""

    def __init__(self, options: Sequence[str], modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, *options, fork_server.__file__, str(theirs.fileno()), *modules],
            env={name: value for name, value in environment.items() if name != "PYTHONPATH"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        atexit.register(self.close)

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        cwd: str | Path,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> Forked:
        status, told = os.pipe()
        with contextlib.ExitStack() as given:
            given.callback(os.close, told)
            stdin_end, source = _ends(given, stdin, is_read=True)
            stdout_end, target = _ends(given, stdout)
            stderr_end, errors = (None, target) if stderr == subprocess.STDOUT else _ends(given, stderr)
            program = {"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}
            socket.send_fds(self._connection, [json.dumps(program).encode()], [source, target, errors, told])
        return Forked([sys.executable, "-m", *arguments], status, (stdin_end, stdout_end, stderr_end))

    def close(self) -> None:
        """End it, and none of the programs."""
        self._connection.close()
        self._process.wait(10)


_servers: dict[object, _Server] = {}
_lock: Final = threading.Lock()


def _server(options: Sequence[str], modules: Sequence[str], environment: Mapping[str, str]) -> _Server:
    read = {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}
    read.pop("PYTHONPATH", None)
    key = (tuple(options), tuple(modules), tuple(sorted(read.items())))
    with _lock:
        if key not in _servers:
            _servers[key] = _Server(options, modules, environment)
        return _servers[key]


def _ends(given: contextlib.ExitStack, wanted: int, *, is_read: bool = False) -> tuple[int | None, int]:
    """The end of a stream that stays here, if any does, and the one that the program has."""
    if wanted not in (subprocess.PIPE, subprocess.DEVNULL):
        return None, wanted
    own: int | None = None
    if wanted == subprocess.DEVNULL:
        theirs = os.open(os.devnull, os.O_RDWR)
    else:
        read, write = os.pipe()
        own, theirs = (write, read) if is_read else (read, write)
    given.callback(os.close, theirs)
    return own, theirs
