"""What the pages on deployment take for granted: systemd, which starts an application and may hold its socket; a page
that is open meanwhile, and somebody who writes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from nitro.testing.conformance import eventually
from tests.servers import ROOT

__all__ = ["QUICK", "Host", "Tab", "Writer", "heard_once", "replaced", "service_links_of", "settings_in"]

_RETRY_SECONDS: Final = 0.1
QUICK: Final = {"NITRO_RETRY_MILLISECONDS": "100", "NITRO_HEARTBEAT_SECONDS": "1"}
"""Browsers come back while the application is not there yet."""


def settings_in(text: str) -> dict[str, str]:
    """The lines `NAME=value` of a unit, or of a file of its environment."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def replaced(text: str, pairs: dict[str, str]) -> str:
    """With each of the first in place of the second; all of them are there."""
    for old, new in pairs.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def service_links_of(service: str) -> dict[str, str]:
    """What Kubernetes sets in each pod for a Service with one port, which is called http."""
    name, address = service.upper().replace("-", "_"), "10.96.0.7"
    port = f"{name}_PORT_8000_TCP"
    return {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": "8000",
        f"{name}_SERVICE_PORT_HTTP": "8000",
        f"{name}_PORT": f"tcp://{address}:8000",
        port: f"tcp://{address}:8000",
        f"{port}_PROTO": "tcp",
        f"{port}_PORT": "8000",
        f"{port}_ADDR": address,
    }


class Host:
    """An application as a unit of systemd runs it, until it is left.

    Args:
        directory: where it is run, and what stands for `/opt/app/current`.
        command: `ExecStart` of the service.
        listens: the path of a socket that is held for it, and is its descriptor 3; None: it has a port of its own.
    """

    def __init__(self, directory: Path, command: str, environment: dict[str, str], listens: Path | None = None) -> None:
        program, *arguments = shlex.split(command)
        assert Path(program).name == "nitro"
        self._command = [sys.executable, "-m", "nitro", *arguments]
        self._directory = directory
        self._output = directory.parent / f"{directory.name}.output"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._socket = None
        if listens is not None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(listens))
            self._socket.listen(4096)

    def start(self) -> None:
        passed = () if self._socket is None else (self._socket.fileno(),)
        shell = ["bash", "-c", f'exec "$@" 3<&{passed[0]}', "systemd"] if passed else []
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*shell, *self._command],
                cwd=self._directory,
                env=self._environment,
                pass_fds=passed,
                stdout=output,
                stderr=output,
            )

    def stop(self) -> None:
        """It ends by itself, and tells of nothing that went wrong."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        output = self._output.read_text()
        assert "Traceback" not in output, output

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._socket is not None:
            self._socket.close()


class Tab(threading.Thread):
    """A page with an `EventSource`: it comes back with its last id, and stays closed after any answer but 200.

    Attributes:
        heard: the titles that came, in their order.
        streams: how many it has had.
        closed_by: what ended it for good, or a gap.
    """

    def __init__(self, http: httpx.Client) -> None:
        super().__init__(daemon=True)
        self.heard: list[str] = []
        self.streams = 0
        self.closed_by = ""
        self._http = http
        self._is_over = threading.Event()
        self.start()
        eventually(lambda: self.streams == 1, "its stream is open", 20)

    def run(self) -> None:
        last: dict[str, str] = {}
        while not self._is_over.wait(_RETRY_SECONDS) and not self.closed_by:
            with self._http.stream("GET", "/events", headers=last) as response:
                if response.status_code != 200:
                    self.closed_by = f"{response.status_code}: {response.read()!r}"
                    return
                self.streams += 1
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        last["Last-Event-ID"] = value
                    elif name == "data":
                        self.heard.append(json.loads(value)["title"])
                    elif name == "event":
                        self.closed_by = line
                    if self._is_over.is_set():
                        return

    def end(self) -> None:
        """By the next heartbeat; nothing has closed it before."""
        self._is_over.set()
        self.join(20)
        assert (self.is_alive(), self.closed_by) == (False, "")


class Writer(threading.Thread):
    """Somebody who writes one title after the other.

    Attributes:
        taken: those that were answered with 200.
        refused: the others.
    """

    def __init__(self, http: httpx.Client) -> None:
        super().__init__(daemon=True)
        self.taken: list[str] = []
        self.refused: list[str] = []
        self._http = http
        self._is_over = threading.Event()
        self.start()

    def run(self) -> None:
        number = 0
        while not self._is_over.wait(0.002):
            title = str(number)
            answered = self._http.post("/todos", params={"title": title}).status_code == 200
            (self.taken if answered else self.refused).append(title)
            number += 1

    def until_more(self, count: int = 20) -> None:
        """Wait until that many more are taken."""
        wanted = len(self.taken) + count
        eventually(lambda: len(self.taken) >= wanted, f"{count} more are written", 20)

    def end(self) -> None:
        self._is_over.set()
        self.join(20)
        assert not self.is_alive()


def heard_once(tab: Tab, writer: Writer) -> bool:
    """Whether all that was taken was heard, and nothing twice. What was refused may have been written all the same."""
    counts = Counter(tab.heard)
    taken, others = set(writer.taken), set(writer.refused)
    return taken <= counts.keys() <= taken | others and max(counts.values()) == 1
