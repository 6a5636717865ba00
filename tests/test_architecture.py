"""Who may import whom: the left of the line never imports the right, and a driver stays in its own file."""

from __future__ import annotations

import ast
import pydoc
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import nitro
from nitro import errors, testing
from nitro.datastar import helpers
from tests.import_graph import circles, graph, modules

SOURCE = Path(__file__).parent.parent / "src"
LINE = [
    ("nitro.errors", "nitro.deprecation", "nitro.chance", "nitro.tracing"),
    ("nitro.redaction",),
    ("nitro.settings",),
    ("nitro.messages",),
    ("nitro.entities",),
    ("nitro.testing.oracle",),
    (
        "nitro.brokers.sqlite.forks",
        "nitro.brokers.sqlite.wal",
        "nitro.brokers.sqlite.wakeup_pipe",
        "nitro.brokers.commits",
    ),
    ("nitro.client.ids", "nitro.client.watchdog"),
    ("nitro.client.session",),
    ("nitro.client.asking",),
    ("nitro.client.loop_reader", "nitro.client.thread_reader"),
    ("nitro.client",),
    ("nitro.testing.streaming",),
    ("nitro.brokers.idempotency", "nitro.brokers.shared_future"),
    ("nitro.brokers.base", "nitro.brokers.url_options"),
    ("nitro.brokers.postgresql.dsn", "nitro.brokers.postgresql.statements", "nitro.brokers.redis.scripts"),
    (
        "nitro.brokers.history",
        "nitro.brokers.codec",
        "nitro.brokers.publish_queue",
        "nitro.brokers.progress",
        "nitro.brokers.log_status",
        "nitro.brokers.tasks",
        "nitro.brokers.nats.client",
        "nitro.brokers.nats.jetstream",
        "nitro.brokers.nats.tail",
        "nitro.brokers.sqlite.file",
        "nitro.brokers.sqlite.wakeups",
        "nitro.brokers.postgresql.connection",
        "nitro.brokers.redis.line",
        "nitro.brokers.redis.source",
    ),
    ("nitro.brokers.bookmark", "nitro.brokers.own_entries", "nitro.brokers.sqlite.statements"),
    ("nitro.brokers.follower", "nitro.brokers.batch_size"),
    ("nitro.brokers.writer",),
    (
        "nitro.brokers.log_broker",
        "nitro.brokers.memory",
        "nitro.brokers.other_workers",
        "nitro.brokers.sqlite.log",
        "nitro.brokers.redis.log",
        "nitro.brokers.nats.log",
        "nitro.brokers.postgresql.log",
    ),
    ("nitro.brokers.urls",),
    ("nitro.testing.conformance.ends",),
    ("nitro.testing.conformance.hooks",),
    ("nitro.testing.conformance",),
    ("nitro.repository",),
    ("nitro.access",),
    ("nitro.delivery.query", "nitro.delivery.changed_rows", "nitro.delivery.row_order"),
    (
        "nitro.delivery.interest",
        "nitro.delivery.frame",
        "nitro.delivery.histogram",
        "nitro.delivery.loop_lag",
        "nitro.delivery.inbox",
        "nitro.delivery.foreign_ids",
        "nitro.delivery.sink",
        "nitro.delivery.state",
        "nitro.delivery.serial_queue",
        "nitro.delivery.ticker",
    ),
    ("nitro.delivery.statistics",),
    (
        "nitro.delivery.router",
        "nitro.delivery.query_index",
        "nitro.delivery.chain",
        "nitro.delivery.server_watch",
        "nitro.delivery.prepared",
    ),
    ("nitro.delivery.replay", "nitro.delivery.limits"),
    ("nitro.delivery.backlog", "nitro.delivery.snapshot"),
    ("nitro.delivery.outbox",),
    ("nitro.delivery.clients", "nitro.delivery.feed", "nitro.delivery.reader"),
    ("nitro.delivery.pace",),
    ("nitro.delivery.schedule",),
    ("nitro.delivery.registry",),
    ("nitro.delivery.query_state",),
    ("nitro.delivery.resumption", "nitro.delivery.live_queries"),
    ("nitro.delivery.room_views",),
    ("nitro.delivery.lane",),
    ("nitro.delivery.hub",),
    ("nitro.delivery.process",),
    ("nitro.delivery.position", "nitro.testing.emitted"),
    ("nitro.rooms.roster", "nitro.rooms.attendance"),
    ("nitro.rooms.service",),
    ("nitro.rooms.process",),
    ("nitro.streams.base", "nitro.streams.items", "nitro.streams.offsets", "nitro.streams.state"),
    ("nitro.streams.errors",),
    ("nitro.streams.decisions",),
    ("nitro.streams.committer", "nitro.streams.page", "nitro.streams.stores", "nitro.streams.tail"),
    ("nitro.streams.access", "nitro.streams.urls"),
    ("nitro.streams.reading",),
    ("nitro.streams.forking",),
    ("nitro.streams.sweeper",),
    ("nitro.streams.streams",),
    ("nitro.streams.process",),
    ("nitro.testing.conformance.stores",),
    ("nitro.sse",),
    ("nitro.uvicorn",),
    ("nitro.durable_streams.authorization", "nitro.durable_streams.cursor", "nitro.durable_streams.paths"),
    ("nitro.durable_streams.request",),
    ("nitro.durable_streams.answers", "nitro.durable_streams.events"),
    ("nitro.durable_streams.live",),
    ("nitro.durable_streams.app",),
    ("nitro.events",),
    ("nitro.clients",),
    ("nitro.testing.plugin",),
    ("nitro.durable_streams",),
    ("nitro.runs.errors", "nitro.runs.record"),
    ("nitro.runs.frames", "nitro.runs.lease"),
    ("nitro.runs.producer",),
    ("nitro.runs.outcomes", "nitro.runs.pages"),
    ("nitro.runs.run",),
    ("nitro.runs.restarts",),
    ("nitro.runs.service",),
    ("nitro.runs.reader",),
    ("nitro.runs",),
    ("nitro.live.row_codec", "nitro.live.reading"),
    ("nitro.live.model",),
    ("nitro.live.changes", "nitro.live.conditions"),
    ("nitro.live.announcing", "nitro.live.statements", "nitro.live.column_kinds"),
    ("nitro.live.tracking", "nitro.live.filtering", "nitro.live.state_frames", "nitro.live.renderer"),
    ("nitro.live.markups.base",),
    ("nitro.live.markups.datastar", "nitro.live.markups.htmx", "nitro.live.markups.turbo"),
    ("nitro.live.html_frames",),
    ("nitro.live.query", "nitro.live.client"),
    ("nitro.live.declaring",),
    ("nitro.metrics.families",),
    ("nitro.metrics.worker_values",),
    ("nitro.metrics.collector",),
    ("nitro.metrics.exposition",),
    ("nitro.metrics",),
    ("nitro.inspection.view", "nitro.inspection.traffic", "nitro.inspection.gate", "nitro.inspection.board"),
    ("nitro.inspection.rows",),
    ("nitro.inspection.sight", "nitro.inspection.worker"),
    ("nitro.inspection.service",),
    ("nitro.inspection.process", "nitro.inspection.events"),
    ("nitro.inspection.app",),
    ("nitro.inspection",),
    ("nitro.alembic", "nitro.datastar", "nitro.fastapi", "nitro.otel", "nitro.tickets", "nitro.publisher"),
    ("nitro.serve.keys",),
    ("nitro.serve.configuration",),
    ("nitro.serve.identity", "nitro.serve.sources", "nitro.serve.password"),
    ("nitro.serve.app",),
    ("nitro.serve",),
    ("nitro.cli.run", "nitro.cli.pipe", "nitro.cli.screen", "nitro.cli.durations"),
    ("nitro.cli.failures", "nitro.cli.figures"),
    ("nitro.cli.broker", "nitro.cli.load_stream"),
    ("nitro.cli.load", "nitro.cli.findings"),
    ("nitro.cli.emit", "nitro.cli.log", "nitro.cli.tail", "nitro.cli.serve", "nitro.cli.bench", "nitro.cli.doctor_log"),
    ("nitro.cli.skill", "nitro.cli.types"),
    ("nitro.cli.doctor_greeting",),
    ("nitro.cli.doctor_stream",),
    ("nitro.cli.doctor",),
    ("nitro.cli",),
    ("nitro.__main__",),
    ("nitro.testing.nemesis",),
]
UPWARD = {
    ("nitro.entities.entity", "nitro.repository"),
    ("nitro.entities.entity", "nitro.live.client"),
    ("nitro.entities.entity", "nitro.live.declaring"),
    ("nitro.entities.record", "nitro.live.declaring"),
    ("nitro.entities.entity", "nitro.live.renderer"),
    ("nitro.live.markups.datastar", "nitro.datastar.patch"),
    ("nitro.repository.repository", "nitro.live.declaring"),
    ("nitro.repository.repository", "nitro.live.model"),
    ("nitro.repository.repository", "nitro.live.changes"),
}
"""The edges that run up, lazily: an entity finds its default repository, and what announces a live class; rows become
patches of Datastar."""
PROMISED = (
    "nitro.domain",
    "nitro.infrastructure",
)
"""Import paths of the specification: they hold no code, and nothing in `nitro` imports them."""


def place(module: str) -> int | None:
    found = [n for n, names in enumerate(LINE) if any(f"{module}.".startswith(f"{name}.") for name in names)]
    return found[-1] if found else None


EDGES = graph()


@pytest.mark.parametrize("module", modules())
def test_imports_run_one_way(module: str) -> None:
    here = place(module)
    if here is None:
        return  # the packages that only hold others, and `nitro` itself, whose names are lazy
    for imported in EDGES[module]:
        assert not imported.startswith(PROMISED), f"{module} imports {imported}, which only stands for other modules"
        there = place(imported)
        if there is None or (module, imported) in UPWARD:
            continue
        siblings = there == here and len(LINE[here]) > 1 and LINE[here] != LINE[there]
        assert there <= here and not siblings, f"{module} imports {imported}, which is built on it"


def test_every_module_has_its_place_in_the_line_and_every_place_is_a_module() -> None:
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert [name for name in modules().keys() - packages if place(name) is None and not name.startswith(PROMISED)] == []
    assert [name for names in LINE for name in names if name not in modules()] == []


def test_no_modules_import_each_other_in_a_circle_but_the_entity_and_its_repository() -> None:
    assert circles(EDGES) == [{"nitro.entities.entity", "nitro.repository", "nitro.repository.repository"}]


def test_the_lazy_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse((SOURCE / "nitro" / "__init__.py").read_text())
    typed: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nitro."):
            assert all(alias.asname == alias.name for alias in node.names), "`import x as x` says that it is public"
            typed |= {alias.name: node.module for alias in node.names}
    assert typed == nitro._PLACES
    assert all(hasattr(nitro, name) for name in nitro.__all__)


def test_help_and_dir_show_what_the_testing_kit_has_and_no_address_of_an_object() -> None:
    assert {"captured", "stream"} <= set(dir(testing))
    shown = pydoc.plain(pydoc.render_doc(testing))
    assert "    captured(pattern" in shown and "    stream(" in shown
    for function in (nitro.emit, nitro.emit_async, nitro.Event.emit):
        shown = pydoc.plain(pydoc.render_doc(function))
        assert re.search(r"result: ('?)T \| None\1 = UNSET", shown)  # with quotes before Python 3.15


PROMISED_NAMES = {
    "nitro.infrastructure.events": set(nitro.__all__)
    - {"Entity", "NitroError", "NitroWarning", "active_clients", "assets", "client_event", "health", "segment"}
    - {"LiveClient", "LiveModel", "Member", "PositionMiddleware", "inspector", "listen", "live_model", "presence"},
    "nitro.infrastructure.events.client": {"Client", "active_clients", "client_event"},
    "nitro.infrastructure.events.starlette": set(helpers.__all__),
    "nitro.domain.entities.base_entity": {"Entity"},
}


@pytest.mark.parametrize("path", PROMISED_NAMES)
def test_what_the_specification_imports_are_the_same_objects(path: str) -> None:
    module = import_module(path)
    assert set(module.__all__) == PROMISED_NAMES[path]
    for name in module.__all__:
        place = helpers if path.endswith("starlette") else nitro
        assert getattr(module, name) is getattr(place, name), name


def test_the_modules_under_promised_paths_only_import() -> None:
    for module, path in modules().items():
        if module.startswith(PROMISED):
            tree = ast.parse(path.read_text())
            assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in tree.body), module


@pytest.mark.parametrize("module", modules())
def test_each_module_says_what_it_is_and_what_it_gives(module: str) -> None:
    tree = ast.parse(modules()[module].read_text())
    assert ast.get_docstring(tree), f"{module} has no docstring"


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
VALUES = {"Protocol", "NamedTuple", "Enum", "TypedDict", "dict", "list", "str", "property", "BaseSettings", "BaseModel"}
"""What is made of these describes data, and does nothing by itself."""


def is_noun(node: ast.stmt) -> bool:
    """Whether it is a class that does something, others may use it, and it is no error."""
    if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
        return False
    bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
    is_dataclass = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
    is_error = any(base in vars(errors) or base.endswith(("Error", "Exception", "Warning")) for base in bases)
    return not (bases & VALUES or is_dataclass or is_error)


@pytest.mark.parametrize("module", modules())
def test_a_module_has_one_noun_and_at_most_another_that_it_is_made_of(module: str) -> None:
    nouns = [node for node in ast.parse(modules()[module].read_text()).body if is_noun(node)]
    assert len(nouns) <= 2, [ast.unparse(node).splitlines()[0] for node in nouns]


@pytest.mark.parametrize("module", modules())
def test_what_has_to_be_read_at_once_fits_on_a_screen(module: str) -> None:
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, FUNCTIONS) and node.end_lineno is not None:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 70, f"{node.name} has {lines} lines"


PAGE = (SOURCE.parent / "ARCHITECTURE.md").read_text()
PACKAGE = SOURCE / "nitro"


def test_every_file_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"(?<![\w./])((?:[a-z_]+/)*[a-z_]+\.py)\b", PAGE)) - {"test_architecture.py"}
    files = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    files |= {str(path.relative_to(SOURCE.parent)) for path in SOURCE.parent.glob("tests/*.py")}
    assert {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)} == set()


def test_each_question_of_a_newcomer_is_answered_by_at_most_five_files_that_have_what_they_are_named_for() -> None:
    rows = re.findall(r"^\| ([^|]+\?) \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 11
    for question, answer in rows:
        hops = re.findall(r"`([a-z_/]+\.py)`(?: \(([^)]*)\))?", answer)
        assert 1 <= len(hops) <= 5, question
        for name, inside in hops:
            tree = ast.parse((PACKAGE / name).read_text())
            defined = {node.name for node in ast.walk(tree) if isinstance(node, FUNCTIONS)}
            assert set(re.findall(r"`([a-z_]+)`", inside)) <= defined, (question, name)


STREAM = """
import sys
from nitro import Client, EventSourceResponse, emit, event
client = Client(topics=["todo.*"]).connect()
emit(event("todo.created"), "me", result={})
EventSourceResponse(client)
assert not {"sqlalchemy", "sqlmodel"} & set(sys.modules), "a stream needs no database"
from nitro import Entity
assert "sqlmodel" in sys.modules
"""


def test_sqlalchemy_is_imported_by_what_needs_it_alone() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", STREAM], check=True, timeout=60)
