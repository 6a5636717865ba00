"""`nitro skill`: its applications are served and heard, its pages run, its other blocks raise and warn as they say, and
what it names exists.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import httpx
import pytest
import typer.main
from httpx_sse import connect_sse
from playwright.sync_api import Page, expect
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.requests import Request

import nitro
from nitro import errors, runs
from nitro.cli.app import app as commands
from nitro.settings import Settings
from tests.apps.skill import APPLICATIONS, BLOCKS, SKILL
from tests.commands import run
from tests.servers import ROOT, Server
from tests.specification.blocks import Block, blocks_in

RUNS_BLOCKS = {"docs/reference/command-line.md": ["A skill for coding agents: sh"]}

TEXT = SKILL.read_text(encoding="utf-8")
FRAGMENTS = [block for block in BLOCKS if block.language == "python" and block not in APPLICATIONS.values()]
SCRIPTS = {block.heading: block.source for block in BLOCKS if block.language == "js"}
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL))
"""What stands in the text as code."""


# --- the applications, over HTTP


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--factory",)
    with Server("tests.apps.skill:application", directory=tmp_path_factory.mktemp("skill"), options=options) as server:
        yield server
    assert "Traceback" not in server.output, server.output


def browsing(server: Server, host: str, user: str = "") -> httpx.Client:
    """A browser of `user` at one of the applications."""
    headers = {"Host": f"{host}.localhost", **({"Cookie": f"user={user}"} if user else {})}
    return httpx.Client(base_url=server.url, headers=headers, timeout=10, trust_env=False, verify=False)


@contextmanager
def stream(browser: httpx.Client, path: str) -> Iterator[Iterator[Any]]:
    """What comes over a stream that stands."""
    with connect_sse(browser, "GET", path) as source:
        source.response.raise_for_status()
        events = source.iter_sse()
        next(events)  # the opening, which has no data
        yield (json.loads(each.data) for each in events if each.data)


def test_the_smallest_application_is_heard(server: Server) -> None:
    with browsing(server, "todo") as browser:
        assert "<script" in browser.get("/").text
        position = browser.get("/todos").json()["position"]
        assert browser.put("/todos/1?title=Milk").status_code == 200
        with stream(browser, f"/events?last_event_id={position}") as heard:
            assert next(heard) == {"id": "1", "title": "Milk"}
        assert browser.get("/todos").json()["todos"] == [{"id": "1", "title": "Milk"}]


def test_rights_are_what_the_grant_says(server: Server) -> None:
    with browsing(server, "rooms", "ann") as ann, browsing(server, "rooms", "bob") as bob:
        with browsing(server, "rooms") as stranger:
            assert stranger.get("/events").status_code == 401
        assert bob.get("/events?topic=room.board.*").status_code == 403
        assert bob.post("/rooms/board/messages?text=hello").status_code == 403
        with stream(ann, "/events") as heard_by_ann, stream(bob, "/events") as heard_by_bob:
            assert ann.post("/rooms/board/messages?text=secret").status_code == 201
            assert bob.post("/rooms/lobby/messages?text=hello").status_code == 201
            hello = {"room": "lobby", "user": "bob", "text": "hello"}
            assert [next(heard_by_ann)["text"], next(heard_by_ann)] == ["secret", hello]
            assert next(heard_by_bob) == hello
            assert bob.post("/rooms/lobby/leave").status_code == 204
            assert list(heard_by_bob) == []  # it has ended


def test_a_live_query_follows_the_rows(server: Server) -> None:
    with browsing(server, "orders") as browser, stream(browser, "/orders/live") as heard:
        controls = [message["headers"]["control"] for message in next(heard)]
        assert controls == ["snapshot-start", "snapshot-end"]
        answer = browser.post("/orders?name=chairs")
        assert answer.headers["nitro-position"]
        key = answer.json()
        (created,) = next(heard)
        assert created["headers"]["operation"] == "insert"
        assert created["value"] == {"id": key, "name": "chairs", "state": "open"}
        assert browser.post(f"/orders/{key}/close").status_code == 204
        (closed,) = next(heard)
        assert (closed["headers"]["operation"], closed["key"]) == ("delete", str(key))


def test_an_answer_is_read_to_its_end_and_by_its_user_alone(server: Server) -> None:
    with browsing(server, "answers", "ann") as ann, browsing(server, "answers", "bob") as bob:
        id = ann.post("/answers?question=why").json()["run"]
        body = ann.get(f"/answers/{id}").text
        assert re.findall(r'data: "(.+?)"', body) == ["You ", "asked: ", "why "]
        assert body.endswith('event: end\ndata: {"state":"done"}\n\nid: stop\n\n')
        assert ann.delete(f"/answers/{id}").status_code == 409
        assert bob.get(f"/answers/{id}").status_code == 404


# --- the other blocks


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]


def yours() -> dict[str, Any]:
    """What the blocks leave to the application."""
    engine = create_engine("sqlite:///invoices.db")
    Base.metadata.create_all(engine)
    request = Request({"type": "http", "query_string": b"topic=todo.*", "headers": []})
    return {"request": request, "engine": engine, "Session": Session, "invoice": Invoice(total=100)}


def statements(block: Block) -> Iterator[tuple[ast.stmt, str, str]]:
    """Each statement, and what its comment says that it does: raises or warns, and with what."""
    lines = block.source.splitlines()
    for statement in ast.parse(block.source).body:
        assert statement.end_lineno is not None
        said = re.search(r"# (raises|warns) (\w+)", lines[statement.end_lineno - 1])
        kind, name = said.groups() if said else ("", "")
        yield ast.increment_lineno(statement, block.line - 1), kind, name


async def execute(statement: ast.stmt, names: dict[str, Any]) -> None:
    code = compile(ast.Module([statement], []), str(SKILL), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    running = eval(code, names)
    if inspect.isawaitable(running):
        await running


@pytest.mark.usefixtures("hub", "own_declarations", "own_engines")
def test_the_other_blocks_run_in_their_order_and_raise_and_warn_as_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BILLING_KEY", "a key of the tests, which is long enough")
    names = {"__name__": "skill", **yours()}
    seen = []

    async def scenario() -> None:
        for block in FRAGMENTS:
            for statement, kind, name in statements(block):
                if kind:
                    seen.append(name)
                    with (pytest.raises if kind == "raises" else pytest.warns)(getattr(errors, name)):
                        await execute(statement, names)
                else:
                    await execute(statement, names)

    asyncio.run(scenario())
    assert {"InvalidTopic", "NitroWarning", "ConfigurationError", "InvalidPayload"} <= set(seen)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


PREPARED = """
from starlette.requests import Request as _Request
from sqlalchemy import Engine
from sqlmodel import Field, Session, SQLModel


class Invoice(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)


request: _Request
engine: Engine
invoice: Invoice
"""


def test_type_checkers_accept_it(tmp_path: Path) -> None:
    if find_spec("mypy") is None:
        pytest.skip("NO MYPY: it checks types once, in the environment that make test makes, and not for each Python")
    for name, block in APPLICATIONS.items():
        (tmp_path / f"{name}.py").write_text(block.source, encoding="utf-8")
    right = [
        ast.get_source_segment(block.source, statement) or ""
        for block in FRAGMENTS
        for statement, kind, _ in statements(Block((), "", 0, 1, block.source))
        if kind != "raises"
    ]
    (tmp_path / "fragments.py").write_text(PREPARED + "\n".join(right), encoding="utf-8")
    told = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")),  # which is strict
            *map(str, sorted(tmp_path.iterdir())),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (told.returncode, told.stderr) == (0, ""), told.stdout


# --- what it names


def test_its_front_matter_is_that_of_an_agent_skill() -> None:
    found = re.fullmatch(r"---\n(.*?)\n---\n\n# (.*)", TEXT, re.DOTALL)
    assert found is not None
    folded = re.sub(r">-\n((?:  .+\n)+)", lambda block: " ".join(block[1].split()) + "\n", found[1])
    fields = dict(line.split(": ", 1) for line in folded.splitlines())
    assert list(fields) == ["name", "description", "license"]
    assert fields["name"] == "nitro-realtime"  # of the directory, too, that `nitro skill --to` makes
    assert " Use when " in fields["description"]
    assert len(fields["description"]) <= 1024
    assert TEXT.count("\n") < 500


ROWS = re.findall(r"^\| (.+?) \| .+ \|$", TEXT.partition("## Public names")[2].partition("## Errors")[0], re.MULTILINE)


def test_each_public_name_is_explained_and_no_other() -> None:
    explained = {found[1] for code in CODE if (found := re.match(r"(?:nitro\.)?(\w+)", code))}
    assert set(nitro.__all__) - explained == set()
    names = {name.partition("(")[0] for row in ROWS[2:] for name in re.findall(r"`([^`]+)`", row)}
    assert {name for name in names if not hasattr(nitro, name)} == set()


@pytest.mark.parametrize(
    "signature", [code for row in ROWS for code in re.findall(r"`(\w+\([^`]+\))`", row) if "(…)" not in code]
)
def test_a_signature_is_that_of_the_name(signature: str) -> None:
    name, _, arguments = signature.removesuffix(")").partition("(")
    parameters = dict(inspect.signature(getattr(nitro, name)).parameters)
    written = dict(argument.partition("=")[::2] for argument in arguments.split(", "))
    options = [parameters.pop(each.removeprefix("**")) for each in tuple(written) if each.startswith("**")]
    assert all(option.kind is inspect.Parameter.VAR_KEYWORD for option in options)
    for argument, default in written.items():
        if argument.startswith("**"):
            continue
        parameter = parameters.pop(argument)
        if default in ("", "…"):
            assert (parameter.default is inspect.Parameter.empty) == (default == ""), argument
        elif argument != "topics":  # whose default is a tuple
            assert parameter.default == eval(default, {"ANY": nitro.ANY}), argument
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    left = [
        each.name for each in parameters.values() if each.default is inspect.Parameter.empty and each.kind not in kinds
    ]
    assert left == []


def listed(beginning: str) -> list[str]:
    """The names in code between this text and the next full stop or semicolon."""
    return re.findall(r"`(\w+)`", re.split(r"[.;](?:\s|$)", TEXT.partition(beginning)[2])[0])


def test_methods_and_attributes_exist() -> None:
    methods = listed("Methods of `Client`:")
    assert len(methods) > 8
    assert {name for name in methods if not hasattr(nitro.Client, name)} == set()
    (row,) = re.findall(r"^\| `runs` \| (.+) \|$", TEXT, re.MULTILINE)
    functions, _, of_run = row.partition("`Run`")
    assert {name for name in re.findall(r"`(\w+)`", functions) if not hasattr(runs, name)} == set()
    assert {name for name in re.findall(r"`(\w+)`", of_run) if not hasattr(runs.Run, name)} == set()
    paths = {found[0] for code in CODE for found in [re.match(r"nitro(\.[A-Za-z_]+)+", code)] if found}
    assert len(paths) > 10
    for path in paths:
        resolve_name(path)  # raises where there is none


def test_each_error_has_its_remedy() -> None:
    table = TEXT.partition("## Errors")[2].partition("## Documentation")[0]
    rows = [row for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) if "`" in row]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row) if name[0].isupper()}
    raised = {name for name in errors.__all__ if name not in ("NitroError", "NitroWarning")}
    of_runs = {
        name for name in runs.__all__ if inspect.isclass(found := getattr(runs, name)) and issubclass(found, Exception)
    }
    assert told == raised | of_runs


def test_extras_commands_and_settings_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {"fastapi", *listed("Other extras:")}
    assert extras == project["optional-dependencies"].keys() - {"examples"}
    assert set(re.findall(r"nitro-realtime\[(\w+)\]", TEXT)) <= extras
    assert "cli" in extras and "client" in extras

    settings = {f"NITRO_{name.upper()}" for name in Settings.model_fields}
    of_the_hub = set(re.findall(r"`(NITRO_SERVE_\w+)`", (ROOT / "docs/how-to/serve.md").read_text()))
    assert set(re.findall(r"\bNITRO_\w+", TEXT)) - settings - of_the_hub == set()


SHELL = "".join(block.source for block in BLOCKS if block.language == "sh")
LINES = [code for code in [*SHELL.splitlines(), *CODE] if re.match(r"(?:NITRO_\w+=\S+ )*nitro \w", code)]


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_one_that_there_is(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if not word.startswith("NITRO_")]
    group: Any = typer.main.get_command(commands)
    command = group.commands[words[1]]
    if len(words) > 2:
        command.make_context("nitro", words[2:])  # parses, and runs nothing


def test_its_links_lead_to_pages_and_headings() -> None:
    base = "https://nitro-realtime.github.io/nitro/"
    documentation = TEXT.partition("## Documentation")[2]
    assert base in documentation and f"{base}llms.txt" in documentation
    pages = re.findall(r"`/([a-z/-]+)/`", documentation)
    assert len(pages) > 15
    assert [page for page in pages if not (ROOT / f"docs/{page}.md").is_file()] == []
    headings = {
        re.sub(r"[^\w -]", "", each).replace(" ", "-").lower() for each in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", TEXT))
    assert links and links <= headings


# --- the command


def test_the_commands_of_the_documentation_print_it_and_write_it_where_an_agent_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = (
        block
        for block in blocks_in((ROOT / "docs/reference/command-line.md").read_text())
        if (block.heading, block.language) == ("A skill for coding agents", "sh")
    )
    prints, writes = (shlex.split(line, comments=True)[1:] for line in block.source.splitlines())
    printed = run(*prints)
    assert (printed.returncode, printed.stdout, printed.stderr) == (0, TEXT, "")
    file = Path(".agents/skills/nitro-realtime/SKILL.md")
    for _ in range(2):  # a later version takes the place of an earlier one
        written = run(*writes)
        assert (written.returncode, written.stdout, written.stderr) == (0, f"{file}\n", "")
        assert file.read_text(encoding="utf-8") == TEXT
        file.write_text("of an earlier version")
    assert run(*prints, "--help").stdout.startswith("usage: nitro skill")


def test_the_command_needs_no_extra() -> None:
    missing = ["typer", "rich", "click", "uvicorn", "httpx"]
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); from nitro.__main__ import main; main(['skill'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout, told.stderr) == (0, TEXT, "")


def test_a_tilde_that_the_shell_left_alone_is_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = run("skill", "--to=~/.claude/skills")
    file = tmp_path / "home/.claude/skills/nitro-realtime/SKILL.md"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}\n", "")
    assert file.read_text(encoding="utf-8") == TEXT


def test_a_wrong_command_is_told_with_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("skill", "--to", str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"nitro: \S+SKILL\.md can't be written: [^\n]+\n", done.stderr), done.stderr
    done = run("skill", "--into", "here")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: --into here" in done.stderr


# --- the pages; last, since Playwright keeps a loop running in the main thread from here on

PLACEHOLDERS = "window.show = window.append = window.finish = (what) => told.push(what); window.told = []"
"""What the scripts leave to the page."""


def open_page(page: Page, server: Server, host: str, script: str) -> None:
    """An empty page of an application, and the script in it."""
    page.goto(f"http://{host}.localhost:{server.port}/openapi.json")
    page.evaluate(PLACEHOLDERS)
    page.add_script_tag(content=script, type="module")


@pytest.mark.browser
def test_the_pages_do_what_they_say(server: Server, page: Page) -> None:
    with browsing(server, "todo") as browser:
        browser.put("/todos/1?title=Milk")
        page.goto(f"http://todo.localhost:{server.port}/")
        expect(page.locator("li")).to_have_text(["Milk"])
        browser.put("/todos/2?title=Bread")
        expect(page.locator("li")).to_have_text(["Milk", "Bread"])
        browser.put("/todos/2?title=Butter")
        expect(page.locator("li")).to_have_text(["Milk", "Butter"])

    page.context.add_cookies([{"name": "user", "value": "ann", "url": f"http://rooms.localhost:{server.port}"}])
    open_page(page, server, "rooms", SCRIPTS["Rights, in FastAPI"] + "window.live = live")
    page.wait_for_function("window.live?.state === 'open'")
    with browsing(server, "rooms", "ann") as browser:
        browser.post("/rooms/lobby/messages?text=hello")
    page.wait_for_function("told.length")
    assert page.evaluate("told") == ["ann: hello"]
    page.context.clear_cookies()
    open_page(page, server, "rooms", SCRIPTS["Rights, in FastAPI"])
    page.wait_for_function("told.length")
    assert page.evaluate("told[0]").startswith("401 ")

    orders = SCRIPTS["A live query over a model that you have"]
    open_page(page, server, "orders", f"{orders}window.rows = orders.rows")
    page.wait_for_function("window.rows")
    assert [row["name"] for row in page.evaluate("rows")] == ["chairs"]
    assert page.evaluate("told.at(-1)") == page.evaluate("rows")

    page.context.add_cookies([{"name": "user", "value": "ann", "url": f"http://answers.localhost:{server.port}"}])
    answer = next(script for heading, script in SCRIPTS.items() if heading.startswith("Runs"))
    open_page(page, server, "answers", answer)
    page.wait_for_function("told.includes('done')")
    assert page.evaluate("told") == ["You ", "asked: ", "why ", "done"]
    page.reload()  # of an address that names the run
    page.evaluate(PLACEHOLDERS)
    page.add_script_tag(content=answer, type="module")
    page.wait_for_function("told.includes('done')")
    assert page.evaluate("told") == ["You ", "asked: ", "why ", "done"]
