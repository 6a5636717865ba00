"""Real servers for tests: started on a free port of 127.0.0.1, watched, and ended with the test."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from playwright.sync_api import Page

from nitro.testing.conformance import eventually
from tests.forked import python_m

ROOT = Path(__file__).parent.parent


_FOREIGN = ",".join(
    f"ignore::DeprecationWarning:{module}"
    for module in ("websockets.legacy", "uvicorn.protocols.websockets.websockets_impl")
)
"""What an old uvicorn says beside a new websockets."""
_LIBRARIES = {
    "uvicorn": (
        *("uvicorn.main", "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.auto"),
        *("uvicorn.protocols.websockets.auto", "fastapi", "sqlmodel", "pydantic_settings", "blinker"),
    ),
}
"""What is imported in advance for a server; the others have libraries or processes of their own."""
uvicorn_options: tuple[str, ...] = ()
"""What uvicorn is started with besides a test's own options, which count."""

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on: below those that the system gives to whoever connects, and in the range of this
    one of pytest's workers, so that nobody takes it before the server that it is for.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 12_000 + 2_500 * (worker % 8)
    while True:
        port = random.randrange(first, first + 2_500)
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


wait_for = partial(eventually, what="it comes to be", seconds=5)
"""Wait until a condition holds."""


class Server:
    """An application under uvicorn, gunicorn, granian or hypercorn in a process of its own, at a port or a path."""

    def __init__(
        self,
        app: str,
        *,
        directory: Path = ROOT,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
        runner: str = "uvicorn",
        uds: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        self.place: str | tuple[str, int] = str(uds) if uds else ("127.0.0.1", self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        address = {
            "uvicorn": ["--port", str(self.port)],
            "granian": ["--interface", "asgi", "--host", "127.0.0.1", "--port", str(self.port)],
            "examples.serve": ["--port", str(self.port)],
            "nitro": ["run", "--port", str(self.port)],
            "nitro serve": ["serve", "--port", str(self.port)],
            "hypercorn": ["--bind", f"127.0.0.1:{self.port}"],
            "gunicorn": ["--bind", f"127.0.0.1:{self.port}", "--no-control-socket"],
        }
        if uds is not None:
            address = {
                "uvicorn": ["--uds", str(uds)],
                "granian": ["--interface", "asgi", "--uds", str(uds)],
                "hypercorn": ["--bind", f"unix:{uds}"],
            }
        common = uvicorn_options if runner == "uvicorn" else ()
        module = runner.partition(" ")[0]
        self.process = python_m(
            [module, *address[runner], *common, *options, *([app] if app else [])],
            libraries=_LIBRARIES.get(module),
            cwd=directory,
            environment={
                **os.environ,
                "PYTHONPATH": f"{directory}:{ROOT}",
                "PYTHONWARNINGS": f"default,{_FOREIGN}",
                **(environment or {}),
            },
            stderr=subprocess.STDOUT,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_up(self, seconds: float = 20) -> Self:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended at once:\n{self._read_output()}")
            try:
                with socket.socket(socket.AF_UNIX if isinstance(self.place, str) else socket.AF_INET) as probe:
                    probe.settimeout(1)
                    probe.connect(self.place)
                    return self
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"the server did not come up:\n{self.end()}")

    def end(self, signum: int = signal.SIGTERM, within_seconds: float = 10) -> float:
        """Send `signum` and wait; how many seconds it took. `output` holds what the server printed."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            self.process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            for pid in self.children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(10)
            raise RuntimeError(f"the server did not end:\n{self._read_output()}") from None
        took = time.monotonic() - began
        self._read_output()
        return took

    def children(self) -> list[int]:
        """The processes that it started."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in tasks for pid in children.read_text().split()]

    def workers(self) -> list[int]:
        """The processes that `--workers` started, those that serve requests."""
        found = []
        for pid in self.children():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def kill(self) -> None:
        """What a power cut does: all its processes at once."""
        pids = [self.process.pid, *self.workers()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        self._read_output()

    def get(self, path: str) -> httpx.Response:
        """Without `verify=False` each request would read the machine's certificates, which takes 40 ms of a core."""
        return httpx.get(self.url + path, timeout=10, trust_env=False, verify=False)

    def post(self, path: str, **kwargs: object) -> httpx.Response:
        return httpx.post(self.url + path, timeout=10, trust_env=False, verify=False, **kwargs)  # type: ignore[arg-type]

    def open_in(self, page: Page) -> None:
        """Show the page of `tests/apps/streams.py`, and wait until its stream is open."""
        page.goto(self.url + "/page")
        page.wait_for_function("source.readyState === EventSource.OPEN")

    def _read(self) -> None:
        """Take what the server prints, so that it never has to wait for somebody who does."""
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self.output += line

    def _read_output(self) -> str:
        self._reader.join(5)
        return self.output

    def __enter__(self) -> Self:
        return self.wait_until_up()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(within_seconds=10)
