"""Workers: servers of one application that share a store or a log, some of which are killed, frozen or ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from tests.servers import Server

__all__ = ["Workers"]


class Workers:
    """Servers with one environment, but for `own_environment`. At the end, none has told of an error or a warning."""

    def __init__(self, app: str, environment: Mapping[str, str], count: int) -> None:
        self.environment = dict(environment)
        self._app = app
        self.servers = [self._start(place) for place in range(count)]
        for server in self.servers:
            server.wait_until_up()

    def own_environment(self, place: int) -> Mapping[str, str]:
        """What only the server in that place has."""
        return {}

    def _start(self, place: int) -> Server:
        environment = {**self.environment, **self.own_environment(place)}
        return Server(self._app, environment=environment, options=("--log-level", "warning"))

    def replace(self, place: int) -> Server:
        """Start another server in place of one that has ended."""
        self.servers[place] = server = self._start(place).wait_until_up()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.end()
        for server in self.servers:
            assert "Traceback" not in server.output, server.output
            assert "Warning" not in server.output, server.output
