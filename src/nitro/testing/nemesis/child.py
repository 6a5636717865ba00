"""A process of the run: a worker or a producer, which can be killed, terminated, frozen, and restarted.

Used by the run and by its faults. A `Child` ends only the process that it started.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["Child", "Worker", "free_port"]

_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 15.0


def free_port() -> int:
    """A port of 127.0.0.1 that is free now.

    It is below the ephemeral ports, so that no connection takes it while a worker is not running.
    """
    while True:
        port = random.randrange(17_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Child:
    """A process.

    Args:
        name: of its output file, without `.txt`.
        command: with its arguments.
        environment: added to that of this process.
        folder: of the output file.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.output: Path = folder / f"{name}.txt"
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, if it isn't running."""
        if self.is_running:
            return
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the command is the caller's own
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment
            )

    def send(self, signum: int) -> None:
        """Send it a signal, if it was started."""
        if self._process is not None:
            self._process.send_signal(signum)

    def wait(self, seconds: float = _END_SECONDS) -> bool:
        """Wait until it has ended, and kill it after `seconds`. Returns whether it ended by itself."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def end(self, seconds: float = _END_SECONDS) -> bool:
        """Terminate it with SIGTERM, and wait."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {'running' if self.is_running else 'not running'}>"


class Worker(Child):
    """One uvicorn process with the application, on a port of its own.

    Raises:
        RuntimeError: from `start`, if it doesn't accept connections; the text has its output.
    """

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path, app: str) -> None:
        self.port: int = free_port()
        address = ("--host", "127.0.0.1", "--port", str(self.port))
        options = ("--no-access-log", "--timeout-graceful-shutdown", "5")
        super().__init__(name, [sys.executable, "-m", "uvicorn", *address, *options, app], environment, folder)

    def start(self) -> None:
        super().start()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if not self.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.output.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
