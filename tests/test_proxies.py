"""Fault 25: a stream behind nginx and Caddy, with their defaults, with the recipes of the documentation, with gzip."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT, Server
from tests.services import Service

APP = "tests.apps.streams:app"


def recipe(language: str) -> str:
    """The block of the documentation in that language."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs/scaling.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@dataclass(frozen=True)
class Way:
    """A proxy's configuration; `APP` and `HERE` stand for the two ports."""

    name: str
    program: str
    text: str
    http2: bool = False

    def __str__(self) -> str:
        return self.name


def nginx_with(more: str = "", listen: str = "HERE") -> str:
    location = "location / { proxy_pass http://127.0.0.1:APP; }"
    return f"events {{}} http {{ {more} server {{ listen 127.0.0.1:{listen}; {location} }} }}"


def caddy_with(more: str) -> str:
    return f"http://127.0.0.1:HERE {{\n{more}\nreverse_proxy 127.0.0.1:APP\n}}\n"


WAYS = [
    Way("nginx", "nginx", nginx_with()),
    Way("nginx-gzip", "nginx", nginx_with("gzip on; gzip_types *; gzip_proxied any;")),
    Way("nginx-gzip-http2", "nginx", nginx_with("gzip on; gzip_types *;", "HERE http2"), http2=True),
    Way(
        "nginx-recipe",
        "nginx",
        recipe("nginx").replace(":8000", ":APP").replace("listen 443 ssl http2", "listen 127.0.0.1:HERE http2"),
        http2=True,
    ),
    Way("caddy", "caddy", caddy_with("")),
    Way("caddy-gzip", "caddy", caddy_with("encode gzip")),
    Way("caddy-http2", "caddy", "{\nadmin off\nservers {\nprotocols h1 h2c\n}\n}\n" + caddy_with(""), http2=True),
    Way(
        "caddy-recipe",
        "caddy",
        recipe("caddy").replace(":8000", ":APP").replace("example.com", "http://127.0.0.1:HERE"),
    ),
]


class ReverseProxy(Service):
    """nginx or Caddy, in front of an application."""

    def __init__(self, directory: Path, way: Way, app: int) -> None:
        super().__init__(directory)
        self.way = way
        self.app = app

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        program = shutil.which(self.way.program, path="/usr/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            pytest.skip(f"NO {self.way.program.upper()}: install Debian's {self.way.program} to run this test")
        text = self.way.text.replace("APP", str(self.app)).replace("HERE", str(self.port))
        if self.way.program == "caddy":
            file = self.directory / "Caddyfile"
            file.write_text(text if text.startswith("{") else "{\nadmin off\n}\n" + text)
            return ["env", f"HOME={self.directory}", program, "run", "--config", str(file), "--adapter", "caddyfile"]
        file = self.directory / "nginx.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = " ".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in kinds)
        file.write_text("daemon off; pid nginx.pid;" + text.replace("http {", "http { access_log off; " + paths))
        return [program, "-p", str(self.directory), "-e", "stderr", "-c", str(file)]


@pytest.fixture(params=WAYS, ids=str)
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, httpx.Client]]:
    """An application that has a heartbeat every half a second, and a way to it through a proxy."""
    way: Way = request.param
    with (
        Server(APP, environment={"NITRO_HEARTBEAT_SECONDS": "0.5"}) as server,
        ReverseProxy(tmp_path / "proxy", way, server.port) as through,
        httpx.Client(
            base_url=through.url,
            http2=way.http2,
            http1=not way.http2,
            timeout=httpx.Timeout(5, read=2),
            trust_env=False,
        ) as http,
    ):
        yield server, http


def read_until(lines: Iterator[str], wanted: str) -> list[str]:
    found: list[str] = []
    until = time.monotonic() + 5
    while time.monotonic() < until:  # heartbeats go on for ever
        found.append(next(lines))
        if wanted in found[-1]:
            return found
    raise AssertionError(f"{wanted} did not come: {found}")


@pytest.mark.alone
def test_nothing_is_held_back_and_a_browser_resumes(proxy: tuple[Server, httpx.Client]) -> None:
    _, http = proxy
    began = time.monotonic()
    with http.stream("GET", "/events", headers={"Accept-Encoding": "gzip"}) as response:
        lines = response.iter_lines()
        read_until(lines, "retry:")
        assert time.monotonic() - began < 1, "the first bytes"
        for n in range(5):
            began = time.monotonic()
            assert http.post(f"/emit?start={n}").status_code == 200
            found = read_until(lines, f'"n":{n}')
            assert time.monotonic() - began < 0.5, "an event"
        last_id = next(line for line in reversed(found) if line.startswith("id:")).partition(":")[2].strip()
    http.post("/emit?start=5")
    with http.stream("GET", "/events", headers={"Last-Event-ID": last_id}) as response:
        assert "data:" not in str(read_until(response.iter_lines(), '"n":5')[:-1])


def test_a_quiet_stream_stays_open_and_a_client_that_goes_is_noticed(proxy: tuple[Server, httpx.Client]) -> None:
    server, http = proxy
    with http.stream("GET", "/events") as response:
        until = time.monotonic() + 1.6  # three heartbeats
        lines = response.iter_lines()
        read_until(lines, "retry:")
        while time.monotonic() < until:
            next(lines)  # each within the time limit for reading
        assert server.get("/left").json()["clients"] == 1
    http.close()  # with HTTP/2 the stream is not all of the connection, and httpx resets none
    began = time.monotonic()
    while server.get("/left").json()["clients"]:
        assert time.monotonic() - began < 2
        time.sleep(0.01)
