"""Fault 25: a stream behind proxies, with their defaults, with the recipes of the documentation, and compressing: those
of production, and those of development, which are Node's (`tests/npm`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.documents import ROOT, Document
from tests.servers import Server
from tests.services import Service

RUNS_BLOCKS = {"docs/how-to/deploy-behind-a-proxy.md": ["nginx", "caddy"]}
APP = "tests.apps.streams:app"
NPM = ROOT / "tests/npm"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
AS_BROWSERS = "gzip, deflate, br, zstd"


def recipe(language: str) -> str:
    """The block of the documentation in that language."""
    return Document("docs/how-to/deploy-behind-a-proxy.md").the(language).source


@dataclass(frozen=True)
class Way:
    """A proxy's configuration; `APP` and `HERE` stand for the two ports.

    `tells_of_leaving`: whether it closes its own connection when the client has closed the one to it.
    """

    name: str
    program: str
    text: str
    http2: bool = False
    tells_of_leaving: bool = True

    def __str__(self) -> str:
        return self.name


def nginx_with(more: str = "", listen: str = "HERE") -> str:
    location = "location / { proxy_pass http://127.0.0.1:APP; }"
    return f"events {{}} http {{ {more} server {{ listen 127.0.0.1:{listen}; {location} }} }}"


def caddy_with(more: str) -> str:
    return f"http://127.0.0.1:HERE {{\n{more}\nreverse_proxy 127.0.0.1:APP\n}}\n"


def apache_with(more: str, *modules: str) -> str:
    loaded = ("mpm_event", "authz_core", "proxy", "proxy_http", *modules)
    lines = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in loaded]
    return "\n".join(
        [*lines, "Listen 127.0.0.1:HERE", "ServerName localhost", more, "ProxyPass / http://127.0.0.1:APP/"]
    )


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
    Way("caddy-zstd", "caddy", caddy_with("encode zstd gzip")),
    Way("caddy-http2", "caddy", "{\nadmin off\nservers {\nprotocols h1 h2c\n}\n}\n" + caddy_with(""), http2=True),
    Way(
        "caddy-recipe",
        "caddy",
        recipe("caddy").replace(":8000", ":APP").replace("example.com", "http://127.0.0.1:HERE"),
    ),
    Way("apache", "apache2", apache_with("")),
    Way("apache-deflate", "apache2", apache_with("SetOutputFilter DEFLATE", "filter", "deflate")),
    Way("express", "node", ""),
    Way("webpack", "node", "", tells_of_leaving=False),  # its http-proxy waits for an event that Node tells no more
    Way("vite", "node", ""),
]


class ReverseProxy(Service):
    """One of them, in front of an application."""

    patience_seconds = 60  # webpack builds something first

    def __init__(self, directory: Path, way: Way, app: int) -> None:
        super().__init__(directory)
        self.way = way
        self.app = app

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        if self.way.program == "node":
            return self._node()
        program = shutil.which(self.way.program, path="/usr/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            pytest.skip(f"NO {self.way.program.upper()}: install Debian's {self.way.program} to run this test")
        text = self.way.text.replace("APP", str(self.app)).replace("HERE", str(self.port))
        if self.way.program == "caddy":
            file = self.directory / "Caddyfile"
            file.write_text(text if text.startswith("{") else "{\nadmin off\n}\n" + text)
            return ["env", f"HOME={self.directory}", program, "run", "--config", str(file), "--adapter", "caddyfile"]
        if self.way.program == "apache2":
            file = self.directory / "httpd.conf"
            own = f"ServerRoot {self.directory}\nPidFile pid\nErrorLog errors\nMutex file:{self.directory}\n"
            file.write_text(own + text)
            return [program, "-X", "-f", str(file)]
        file = self.directory / "nginx.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = " ".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in kinds)
        file.write_text("daemon off; pid nginx.pid;" + text.replace("http {", "http { access_log off; " + paths))
        return [program, "-p", str(self.directory), "-e", "stderr", "-c", str(file)]

    def _node(self) -> list[str]:
        node = shutil.which("node")
        if node is None or not (NPM / "node_modules").exists():
            pytest.skip(
                "NO DEVELOPMENT PROXIES: node, or tests/npm/node_modules, is missing; `make test` installs them"
            )
        cache = f"CACHE={self.directory}"
        return ["env", cache, node, str(NPM / "proxy.js"), self.way.name, str(self.port), str(self.app)]

    def is_up(self) -> bool:
        return super().is_up() and (
            self.way.program != "node" or "it listens" in (self.directory / "output.txt").read_text()
        )

    def __exit__(self, *_: object) -> None:
        """Ask it to end: nginx's worker lives on after a master that was killed."""
        self.end()


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
    with http.stream("GET", "/events", headers={"Accept-Encoding": AS_BROWSERS}) as response:
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


@pytest.mark.timed
def test_a_quiet_stream_stays_open_and_a_client_that_goes_is_noticed(
    proxy: tuple[Server, httpx.Client], request: pytest.FixtureRequest
) -> None:
    server, http = proxy
    way: Way = request.node.callspec.params["proxy"]
    with http.stream("GET", "/events") as response:
        until = time.monotonic() + 1.6  # three heartbeats
        lines = response.iter_lines()
        read_until(lines, "retry:")
        while time.monotonic() < until:
            next(lines)  # each within the time limit for reading
        assert server.get("/left").json()["clients"] == 1
    http.close()  # with HTTP/2 the stream is not all of the connection, and httpx resets none
    began = time.monotonic()
    while way.tells_of_leaving and server.get("/left").json()["clients"]:
        assert time.monotonic() - began < 2
        time.sleep(0.01)
