"""Every block of `docs/how-to/serve.md` as it stands there: commands, configuration, claims, and pages in Chromium."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from playwright.sync_api import Browser, Page, Route
from pydantic import BaseModel

from nitro.serve.configuration import Configuration, Inspector, Jwt, PublishKey, Stream, Ticket
from nitro.serve.sources import _places, read_configuration
from tests.commands import run
from tests.documents import ROOT, Document
from tests.hubs import SECRET, ask, hub, opened, problem_of, public_pem, rsa_key, token
from tests.servers import Server, free_port, wait_for

PAGE = Document("docs/how-to/serve.md")
RUNS_BLOCKS = {"docs/how-to/serve.md": ["sh", "console", "toml", "python", "js", "json"]}
FILE = PAGE.the("toml").source
CLAIMS: dict[str, Any] = {**json.loads(PAGE.the("json").source), "exp": int(time.time()) + 3600}
"""The block's, with an end that is yet to come."""
BILLING = tomllib.loads(FILE)["publish"]["keys"]["billing"]["secret"]
STARTING, PUBLISHING, WORKERS = (block.source for block in PAGE.all("sh"))
WITH_TICKET, BY_CLIENT = (block.source for block in PAGE.all("js", "By ticket"))


@pytest.fixture(scope="module")
def signer() -> RSAPrivateKey:
    return rsa_key()


@pytest.fixture(scope="module")
def application() -> Iterator[Server]:
    """A page of another origin."""
    with Server("tests.apps.hub_pages:app", environment={"NITRO_SERVE_TICKET_SECRET": SECRET}) as started:
        yield started


@pytest.fixture(scope="module")
def server(signer: RSAPrivateKey, application: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The hub of the file, whose origin is that of the tests' page."""
    directory = tmp_path_factory.mktemp("hub")
    (directory / "issuer.pem").write_bytes(public_pem(signer.public_key()))
    text = FILE.replace("https://app.example.org", application.url)
    environment = {"NITRO_SERVE_TICKET_SECRET": SECRET, "NITRO_BROKER_URL": f"sqlite:///{directory}/events.db"}
    with hub(directory, text, "--workers", "2", **environment) as started:
        wait_for(lambda: started.output.count("Application startup complete") == 2, seconds=20)
        yield started
    assert "Traceback" not in started.output, started.output


def emitted(server: Server) -> None:
    """Run the block that emits, in a process that shares the hub's log."""
    (url,) = re.findall(r"log (sqlite:\S+),", server.output)
    environment = {**os.environ, "NITRO_BROKER_URL": url, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-W", "error", "-c", PAGE.the("python", "Events").source],
        env=environment,
        check=True,
        timeout=30,
    )


def test_the_first_commands_start_a_hub_that_says_what_is_shown(tmp_path: Path) -> None:
    port = free_port()
    install, *lines = STARTING.splitlines()
    extra = re.search(r"\[(\w+)\]", install)
    assert extra is not None
    assert extra[1] in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    script = "\n".join(lines).replace("python -c", f"{sys.executable} -c").replace("8100", str(port))
    script = script.replace("nitro serve", f"exec {sys.executable} -m nitro serve")
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() + process.stderr.readline() == PAGE.the("console").source
        wait_for(lambda: _is_ready(port), seconds=20)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/events", trust_env=False, verify=False).status_code == 401
    except httpx.TransportError:
        return False


def test_the_table_has_each_key_with_its_default_and_variable() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (?:`(\w+)`)? ?\| .+ \|$", PAGE.text, re.MULTILINE)
    models: dict[str, type[BaseModel]] = {
        "stream": Stream,
        "ticket": Ticket,
        "jwt": Jwt,
        "inspector": Inspector,
        "publish.keys.NAME": PublishKey,
    }
    fields = {f"{name}.{key}": field for name, model in models.items() for key, field in model.model_fields.items()}
    fields["metrics"] = Configuration.model_fields["metrics"]
    assert sorted(key for key, *_ in rows) == sorted(fields)
    for key, default, variable in rows:
        field = fields[key]
        value = (
            "none" if field.default in (None, ()) else f"`{field.default}`" if isinstance(field.default, str) else None
        )
        wanted = "required" if field.is_required() else value or f"{field.default:g}"
        if isinstance(field.default, bool):
            wanted = str(field.default).lower()
        assert default == wanted or key == "ticket.secret", key  # the table itself may be left out
        places = _places({"publish": {"keys": {"NAME": {}}}})
        assert (variable in places and ".".join(places[variable]) == key) or key == "publish.keys.NAME.topics"


def test_the_file_is_read_as_it_stands_there(signer: RSAPrivateKey, tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text(FILE)
    (tmp_path / "issuer.pem").write_bytes(public_pem(signer.public_key()))
    found = read_configuration(str(tmp_path / "hub.toml"), {})
    assert found.metrics and found.jwt is not None
    assert found.stream.origins == ("https://app.example.org",)


def test_the_claims_open_a_stream_for_what_they_say(server: Server, signer: RSAPrivateKey) -> None:
    shown = token(signer, "RS256", **CLAIMS)
    for topic, status in (("todo.*", 200), ("user.ann.mail", 200), ("user.bob.mail", 403), ("todo.secret", 403)):
        if status == 200:
            opened(server, f"topic={topic}&token={shown}").socket.close()
        else:
            problem_of(ask(server, f"topic={topic}&token={shown}"), status)
    opened(server, "topic=news.*").socket.close()
    problem_of(ask(server, "topic=todo.*"), 403)


def test_what_python_emits_and_curl_publishes_is_heard(server: Server, signer: RSAPrivateKey) -> None:
    shown = token(signer, "RS256", **{**CLAIMS, "topics": ["*"]})
    with opened(server, f"token={shown}") as stream:
        emitted(server)
        command = PUBLISHING.replace("https://hub.example.org", server.url)
        done = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, "BILLING_KEY": BILLING},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert json.loads(done.stdout) == {"published": True}
        assert stream.events(2) == [{"id": 1, "title": "Milk"}, {"id": 4711}]


@pytest.mark.browser
def test_the_page_with_a_ticket_hears_and_gets_another_one(server: Server, application: Server, page: Page) -> None:
    page.goto(f"{application.url}/page")
    page.evaluate(
        "(hub) => { window.hub = hub; window.shown = []; window.show = (data) => shown.push(data); }", server.url
    )
    page.evaluate(
        """() => {
            window.sources = [];
            const Native = EventSource;
            window.EventSource = class extends Native {
                constructor(url) {
                    super(sources.length ? url : url.replace("ticket=", "ticket=x"));
                    sources.push(this);
                }
            };
        }"""
    )
    page.add_script_tag(content=WITH_TICKET + "\nopen()")
    page.wait_for_function("sources.length === 2 && sources[1].readyState === EventSource.OPEN")
    emitted(server)
    page.wait_for_function("shown.length === 1")
    assert page.evaluate("[shown, sources[0].readyState]") == [[{"id": 1, "title": "Milk"}], 2]
    page.evaluate("sources[1].close()")


@pytest.mark.browser
def test_the_page_with_the_browser_client_gets_a_ticket_and_hears(
    server: Server, application: Server, page: Page
) -> None:
    page.goto(f"{application.url}/page")
    page.evaluate("() => { window.shown = []; window.show = (topic, data) => shown.push([topic, data]); }")
    script = BY_CLIENT.replace("https://hub.example.org", server.url)
    page.add_script_tag(content=f"{script}\nwindow.live = live", type="module")
    page.wait_for_function("window.live?.state === 'open'")
    emitted(server)
    page.wait_for_function("shown.length === 1")
    assert page.evaluate("shown") == [["todo.created", {"id": 1, "title": "Milk"}]]
    page.evaluate("live.close()")


@pytest.mark.browser
def test_the_browser_client_asks_again_for_a_ticket_that_fails_and_not_for_one_that_is_refused(
    server: Server, application: Server, browser: Browser
) -> None:
    page = browser.new_context().new_page()  # in which an error of its own is no problem
    page.goto(f"{application.url}/page")
    asked: list[int] = []

    def answer(route: Route) -> None:
        asked.append(status)
        route.fulfill(status=status)

    status = 502
    page.route("**/ticket", answer)
    script = BY_CLIENT.replace("https://hub.example.org", server.url)
    page.add_script_tag(content=f"{script}\nwindow.live = live", type="module")
    page.wait_for_function("window.live?.state === 'waiting'")
    status = 401
    page.wait_for_function("live.state === 'closed'", timeout=20_000)
    assert page.evaluate("live.error.status") == 401
    assert set(asked[:-1]) == {502} and asked[-1] == 401
    page.context.close()


@pytest.mark.browser
def test_the_page_with_a_token_hears(server: Server, application: Server, signer: RSAPrivateKey, page: Page) -> None:
    page.goto(f"{application.url}/page")
    page.evaluate(
        """(token) => {
            window.shown = []; window.show = (topic, data) => shown.push([topic, data]);
            window.freshToken = async () => token;
        }""",
        token(signer, "RS256", **CLAIMS),
    )
    script = PAGE.the("js", "By token").source.replace("https://hub.example.org", server.url)
    page.add_script_tag(content=f"{script}\nwindow.live = live", type="module")
    page.wait_for_function("window.live?.state === 'open'")
    emitted(server)
    page.wait_for_function("shown.length === 1")
    assert page.evaluate("shown") == [["todo.created", {"id": 1, "title": "Milk"}]]
    page.evaluate("live.close()")


def test_the_command_for_workers_needs_the_log_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes as far as the configuration, which is another one here."""
    monkeypatch.chdir(tmp_path)
    words = WORKERS.split()
    variable, _, url = words[0].partition("=")
    assert (variable, words[1:3]) == ("NITRO_BROKER_URL", ["nitro", "serve"])
    (tmp_path / "hub.toml").write_text("[ticket]\nsecret = 'short'")
    done = run(*words[2:], NITRO_BROKER_URL=url)
    assert done.stderr.startswith("nitro: hub.toml, line 2: ticket.secret")
    (tmp_path / "hub.toml").write_text(f"[ticket]\nsecret = '{SECRET}'")
    assert "4 workers have a log in memory each" in run(*words[2:]).stderr
