"""A block of shell from the documentation that starts a hub and an application, run as it stands but for its ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.servers import ROOT, free_port, wait_for


class Programs:
    """What the block starts, in a group of its own; all of it is ended together.

    Args:
        block: commands with the ports 8000, of the application, and 8100, of the hub if there is one.
        broker_url: in place of the one in the block.
    """

    def __init__(
        self, block: str, directory: Path, broker_url: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.hub_port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.hub_url = f"http://localhost:{self.hub_port}" if "8100" in block else self.url
        script = re.sub(r"(?m)^export NITRO_BROKER_URL=\S+.*$", f"export NITRO_BROKER_URL='{broker_url}'", block)
        script = script.replace("8000", str(self.port)).replace("8100", str(self.hub_port))
        script = re.sub(r"\bpython -c", f"{sys.executable} -c", script)
        script = re.sub(r"(?m)^((?:NITRO_\w+=\S+ )?)(nitro|gunicorn) ", rf"\1{sys.executable} -m \2 ", script)
        self.output = ""
        self._process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=directory,
            env={
                **os.environ,
                "PYTHONPATH": f"{directory}:{ROOT}",
                "NITRO_BROKER_URL": broker_url,
                "NITRO_RETRY_MILLISECONDS": "100",
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self.output += line

    def _answers(self, url: str) -> bool:
        assert self._process.poll() is None, self.output
        try:
            httpx.get(url, timeout=10, trust_env=False, verify=False)
        except httpx.TransportError:
            return False
        return True

    def __enter__(self) -> Self:
        try:
            for url in (self.url, self.hub_url):
                wait_for(lambda url=url: self._answers(url), seconds=30)  # type: ignore[misc]
        except BaseException:
            self._end()
            raise
        return self

    def _end(self) -> None:
        for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            self._reader.join(seconds)  # all of them have closed their output
            if not self._reader.is_alive():
                break
        self._process.wait(5)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
