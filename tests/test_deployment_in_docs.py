"""The pages on deployment as they stand there: systemd's units, nginx in front, and upgrades while a page is open."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from nitro.settings import Settings
from nitro.testing.conformance import eventually
from tests.commands import run
from tests.deploying import QUICK, Host, Tab, Writer, heard_once, replaced, settings_in
from tests.documents import ROOT, Document
from tests.servers import free_port
from tests.services import RedisServer
from tests.test_command_line_in_docs import steady
from tests.test_proxies import ReverseProxy, Way, recipe

RUNS_BLOCKS = {
    "docs/how-to/deploy-one-host.md": ["python", "ini", "sh", "nginx", "console"],
    "docs/how-to/deploy-several-hosts.md": ["ini", "sh", "nginx"],
    "docs/how-to/deploy-behind-a-proxy.md": ["sh", "http"],
}
ONE, SEVERAL, PROXY = (Document(name) for name in RUNS_BLOCKS)
APP: Final = ONE.the("python").source
SOCKET, SERVICE = (block.source for block in ONE.all("ini"))
DOCTOR, WITH_AN_AGE, CURL = (block.source for block in PROXY.all("sh"))


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, verify=False, trust_env=False, timeout=20)


def titled(title: str) -> str:
    """The application, which tells that of itself at `/openapi.json`."""
    return replaced(APP, {"lifespan=lifespan": f'lifespan=lifespan, title="{title}"'})


def titles(http: httpx.Client) -> set[str]:
    """Of the applications that answer now."""
    answers = [http.get("/openapi.json") for _ in range(4)]
    return {answer.json()["info"]["title"] for answer in answers if answer.status_code == 200}


def is_asked(http: httpx.Client, title: str) -> bool:
    return title in titles(http)


def release(root: Path, heading: str, title: str) -> None:
    """What the commands under that heading do to files, without the user, the environment and systemd."""
    (block,) = [block for block in ONE.blocks if block.heading == heading and "ln -sfn" in block.source]
    commands = [line for line in block.source.splitlines() if line.startswith(("mkdir ", "cp ", "ln "))]
    (root / "app.py").write_text(titled(title))
    assert len(commands) == 3
    subprocess.run(["bash", "-ec", "\n".join(commands).replace("/opt/app", str(root))], cwd=root, check=True)


def reverse_proxy(folder: Path, upstream: str, pairs: dict[str, str], listen: str = "") -> ReverseProxy:
    """nginx with the configuration of the page on proxies and another upstream, with changes for this machine."""
    text = re.sub(r"^ +upstream app .*$", upstream, recipe("nginx"), flags=re.MULTILINE)
    text = replaced(text, {"listen 443 ssl http2": f"listen 127.0.0.1:HERE{listen}", **pairs})
    user = "user root;\n" if os.geteuid() == 0 else ""  # the folders of tests are nobody else's
    return ReverseProxy(folder / "proxy", Way("nginx", "nginx", user + text), 0)


def certificate(folder: Path) -> tuple[Path, Path]:
    """One for 127.0.0.1, and its key."""
    made, key = folder / "it.crt", folder / "it.key"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*request, *names, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key


def test_an_upgrade_on_one_host_loses_nothing_and_the_doctor_finds_nothing(tmp_path: Path) -> None:
    root, listens = tmp_path / "opt", tmp_path / "app.sock"
    root.mkdir()
    release(root, "Install it", "first")
    command = replaced(settings_in(SERVICE)["ExecStart"], {"--workers 4": "--workers 2"})
    settings = {**settings_in(ONE.all("sh")[0].source), "NITRO_BROKER_URL": f"sqlite:///{tmp_path}/events.db", **QUICK}
    made, key = certificate(tmp_path)
    tls = {"server {\n": f"server {{\nssl_certificate {made}; ssl_certificate_key {key};\n"}
    place = {settings_in(SOCKET)["ListenStream"]: str(listens)}
    with (
        Host(root / "current", command, settings, listens) as host,
        reverse_proxy(tmp_path, ONE.the("nginx").source, tls | place, " ssl http2") as proxy,
        client(proxy.url.replace("http:", "https:")) as http,
    ):
        assert titles(http) == {"first"}
        tab, writer = Tab(http), Writer(http)
        writer.until_more()
        release(root, "Upgrade", "second")
        host.stop()
        host.start()
        writer.until_more()
        writer.end()
        eventually(lambda: tab.closed_by or heard_once(tab, writer), "all is heard", 10)
        tab.end()
        assert tab.streams > 1
        assert titles(http) == {"second"}
        assert [http.get(path).status_code for path in ("/metrics", "/health/ready", "/health/live")] == [404] * 3
        doctor_says_what_is_shown(str(http.base_url), settings, made)


def doctor_says_what_is_shown(url: str, settings: dict[str, str], trusted: Path) -> None:
    """In the application's environment, through TLS and HTTP/2."""
    asked, _, shown = ONE.the("console").source.partition("\n")
    assert asked == f"$ {DOCTOR.rstrip()}"
    address = f"{url}/events"
    done = run("doctor", "--url", address, **settings, SSL_CERT_FILE=str(trusted))
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["wrong"], done.returncode) == ([], 0)
    text = "\n".join(f"{name:<10} {value}" for name, value in found["facts"].items())
    text = replaced(text, {address: "https://example.org/events", "each 1 s": "each 15 s"})
    text = replaced(text, {settings["NITRO_BROKER_URL"]: "sqlite:////var/lib/app/events.db"})
    text = re.sub(
        r"log +[\d,]+ messages, the oldest 0:00:\d\d old", "log        1 message, the oldest 0:00:00 old", text
    )
    assert steady(f"{text}\n\n✓ nothing is wrong\n") == steady(shown)


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("NO SYSTEMD: systemd-analyze is missing; the units are not checked")
    (tmp_path / "app.socket").write_text(SOCKET)
    command = settings_in(SERVICE)["ExecStart"]
    shared = re.sub(r"^(Requires|After|ExecStart)=.*\n", "", SERVICE, flags=re.MULTILINE)
    assert "app.socket" not in shared
    for text in (SERVICE, f"{shared}\n{SEVERAL.the('ini').source}"):
        (tmp_path / "app.service").write_text(replaced(text, {shlex.split(command)[0]: "/bin/true"}))
        units = [str(tmp_path / name) for name in ("app.socket", "app.service")]
        checked = subprocess.run([program, "verify", "--man=no", *units], capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_a_service_with_an_address_of_its_own_waits_for_it_and_is_never_given_up() -> None:
    unit = settings_in(SEVERAL.the("ini").source)
    assert unit["Wants"] == unit["After"] == "network-online.target"
    assert (unit["StartLimitIntervalSec"], unit["RestartSec"], settings_in(SERVICE)["Restart"]) == ("0", "1", "always")


def test_the_workers_of_the_unit_answer_for_all_of_them() -> None:
    unit = settings_in(SERVICE)
    variable, _, directory = unit["Environment"].partition("=")
    assert " --workers " in unit["ExecStart"]
    assert (variable, directory) == ("PROMETHEUS_MULTIPROC_DIR", f"/run/{unit['RuntimeDirectory']}")
    assert "RuntimeDirectoryPreserve" not in unit, "each start begins with an empty one"


def test_the_settings_of_the_pages_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in (*ONE.all("sh"), *SEVERAL.all("sh")):
        assert settings_in(block.source)
        for name, value in settings_in(block.source).items():
            monkeypatch.setenv(name, value)
            read = getattr(Settings(), name.removeprefix("NITRO_").lower())
            assert value in (str(read), f"{read:g}" if isinstance(read, float) else getattr(read, "_secret_value", ""))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as started:
        yield started


def test_a_rolling_deploy_of_several_hosts_loses_nothing(tmp_path: Path, redis: RedisServer) -> None:
    settings = {**settings_in(SEVERAL.the("sh").source), "NITRO_BROKER_URL": redis.url, **QUICK}
    command = settings_in(SEVERAL.the("ini").source)["ExecStart"]
    hosts, places = [], {"fail_timeout=5s": "fail_timeout=1s"}
    for name, inside in (("app-1", "10.0.0.11"), ("app-2", "10.0.0.12")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(titled(name))
        port = free_port()
        ours = {"10.0.0.11 --port 8000": f"127.0.0.1 --port {port}", "10.0.0.10": "127.0.0.1", "workers 4": "workers 1"}
        hosts.append(Host(tmp_path / name, replaced(command, ours), settings))
        places[f"{inside}:8000"] = f"127.0.0.1:{port}"
    with (
        hosts[0],
        hosts[1],
        reverse_proxy(tmp_path, SEVERAL.the("nginx").source, places) as proxy,
        client(proxy.url) as http,
    ):
        eventually(lambda: len(titles(http)) == 2, "both are there, and nginx knows it", 20)
        tab, writer = Tab(http), Writer(http)
        for host, name, place in zip(hosts, ("app-1", "app-2"), list(places)[1:], strict=True):
            writer.until_more()
            host.stop()
            writer.until_more()  # by the other one
            host.start()
            assert until_ready(places[place]) == (0, '{"status":"ready"}')
            eventually(partial(is_asked, http, name), f"{name} is asked again", 20)
        writer.until_more()
        writer.end()
        eventually(lambda: tab.closed_by or heard_once(tab, writer), "all is heard", 10)
        tab.end()
        assert tab.streams > 1


def until_ready(place: str, *more: str) -> tuple[int, str]:
    """What the rolling deploy asks a host, from itself."""
    (block,) = [each for each in SEVERAL.blocks if each.heading == "A rolling deploy"]
    (command,) = re.findall(r"^ +(curl .*)$", block.source, re.MULTILINE)
    words = shlex.split(replaced(command, {"$host:8000": place}))
    done = subprocess.run([*words, *more], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


def test_a_rolling_deploy_does_not_wait_for_ever_for_a_host() -> None:
    nobody, mute = f"127.0.0.1:{free_port()}", socket.create_server(("127.0.0.1", 0))
    with mute:
        for place in (nobody, f"127.0.0.1:{mute.getsockname()[1]}"):
            code, said = until_ready(place, "--retry", "1", "--max-time", "1")
            assert (code > 0, said) == (True, "")


def test_the_head_of_a_stream_is_as_shown_and_it_ends_at_its_age(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "nitro").write_text(f'#!/bin/sh\nexec {sys.executable} -m nitro "$@"\n')
    (tmp_path / "nitro").chmod(0o755)
    port = str(free_port())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "UVICORN_PORT": port,
    }
    command = replaced(WITH_AN_AGE, {"=3300 ": "=1 exec "})
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "output").open("wb") as output:
        server = subprocess.Popen(["bash", "-c", command], cwd=tmp_path, env=environment, stdout=output, stderr=output)
        try:
            eventually(lambda: is_up(url), "it is up", 20)
            asked = ["bash", "-c", replaced(CURL, {"curl": "curl -s", "https://example.org": url})]
            said = subprocess.run(asked, capture_output=True, text=True, timeout=20)
            head, _, body = said.stdout.partition("\n\n")
            assert PROXY.the("http").source.splitlines() == [
                line for line in head.splitlines() if line.startswith(("content-type", "cache-control", "x-accel"))
            ]
            assert "retry:" in body
            assert said.returncode == 0, "curl is told where the stream ends"
        finally:
            server.terminate()
            server.wait(20)


@pytest.mark.parametrize("language", ["nginx", "haproxy"])
def test_a_proxy_says_who_asks_and_by_which_scheme(language: str) -> None:
    (source,) = [block.source for block in PROXY.blocks if block.language == language]
    said = re.findall(r"set[-_]header (X-Forwarded-\w+)", source)
    assert said == ["X-Forwarded-For", "X-Forwarded-Proto"], "Caddy does so by itself"


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
