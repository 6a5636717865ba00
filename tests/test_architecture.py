"""Who may import whom: the left of the line never imports the right, and a driver stays in its own file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from nitro import errors

SOURCE = Path(__file__).parent.parent / "src"
LINE = [
    ("nitro.errors",),
    ("nitro.infrastructure.secrecy",),
    ("nitro.settings",),
    ("nitro.domain",),
    ("nitro.testing.oracle",),
    ("nitro.infrastructure.wal",),
    ("nitro.infrastructure.brokers.once",),
    ("nitro.infrastructure.brokers.base", "nitro.infrastructure.brokers.options"),
    ("nitro.infrastructure.brokers.dsn", "nitro.infrastructure.brokers.postgres_sql"),
    (
        "nitro.infrastructure.brokers.window",
        "nitro.infrastructure.brokers.wire",
        "nitro.infrastructure.brokers.outgoing",
        "nitro.infrastructure.brokers.progress",
        "nitro.infrastructure.brokers.jetstream",
        "nitro.infrastructure.brokers.presence",
        "nitro.infrastructure.brokers.sqlite_file",
        "nitro.infrastructure.brokers.postgres_line",
        "nitro.infrastructure.brokers.redis_client",
        "nitro.infrastructure.brokers.tail",
        "nitro.infrastructure.brokers.tasks",
    ),
    ("nitro.infrastructure.brokers.follower",),
    ("nitro.infrastructure.brokers.writer",),
    (
        "nitro.infrastructure.brokers.link",
        "nitro.infrastructure.brokers.memory",
        "nitro.infrastructure.brokers.siblings",
        "nitro.infrastructure.brokers.sqlite",
        "nitro.infrastructure.brokers.redis",
        "nitro.infrastructure.brokers.nats",
        "nitro.infrastructure.brokers.postgres",
    ),
    ("nitro.infrastructure.brokers.urls",),
    ("nitro.testing.conformance.ends",),
    ("nitro.testing.conformance.hooks",),
    ("nitro.testing.conformance",),
    ("nitro.infrastructure.repository",),
    ("nitro.infrastructure.access",),
    (
        "nitro.infrastructure.delivery.interest",
        "nitro.infrastructure.delivery.frame",
        "nitro.infrastructure.delivery.statistics",
        "nitro.infrastructure.delivery.inbox",
        "nitro.infrastructure.delivery.current",
        "nitro.infrastructure.delivery.foreign",
        "nitro.infrastructure.delivery.sink",
        "nitro.infrastructure.delivery.state",
        "nitro.infrastructure.delivery.ticker",
    ),
    (
        "nitro.infrastructure.delivery.router",
        "nitro.infrastructure.delivery.chain",
        "nitro.infrastructure.delivery.server_watch",
    ),
    ("nitro.infrastructure.delivery.replay", "nitro.infrastructure.delivery.limits"),
    ("nitro.infrastructure.delivery.backlog",),
    ("nitro.infrastructure.delivery.outbox",),
    (
        "nitro.infrastructure.delivery.clients",
        "nitro.infrastructure.delivery.feed",
        "nitro.infrastructure.delivery.reader",
    ),
    ("nitro.infrastructure.delivery.pace",),
    ("nitro.infrastructure.delivery.schedule",),
    ("nitro.infrastructure.delivery.registry",),
    ("nitro.infrastructure.delivery.resumption",),
    ("nitro.infrastructure.delivery.lane",),
    ("nitro.infrastructure.delivery.endings",),
    ("nitro.infrastructure.delivery.hub",),
    ("nitro.infrastructure.delivery.process",),
    ("nitro.infrastructure.sse",),
    ("nitro.infrastructure.events",),
    ("nitro.alembic", "nitro.datastar", "nitro.fastapi", "nitro.tickets", "nitro.publisher"),
    ("nitro.testing.nemesis",),
]
UPWARD = {("nitro.domain.entities.base_entity", "nitro.infrastructure.repository")}
"""The one edge that runs up: Entity finds its default repository, lazily."""


def place(module: str) -> int | None:
    found = [n for n, names in enumerate(LINE) if any(f"{module}.".startswith(f"{name}.") for name in names)]
    return found[-1] if found else None


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
    }


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("nitro")}


@pytest.mark.parametrize("module", modules())
def test_imports_run_one_way(module: str) -> None:
    path = modules()[module]
    here = place(module)
    if here is None:
        return  # the packages that only hold others, and `nitro` itself, whose names are lazy
    for imported in imports(path):
        there = place(imported)
        if there is None or (module, imported) in UPWARD:
            continue
        siblings = there == here and len(LINE[here]) > 1 and LINE[here] != LINE[there]
        assert there <= here and not siblings, f"{module} imports {imported}, which is built on it"


def test_every_public_name_can_be_had_from_nitro_and_from_its_place() -> None:
    import nitro
    import nitro.infrastructure.events as events
    from nitro.infrastructure.events import client

    assert all(getattr(nitro, name) is getattr(events, name) for name in events.__all__)
    assert set(nitro.__all__) - set(events.__all__) == {
        "Entity",
        "NitroError",
        "NitroWarning",
        "active_clients",
        "assets",
        "client_event",
        "segment",
    }
    assert all(hasattr(nitro, name) for name in nitro.__all__)
    assert {"Client", "active_clients", "client_event"} <= set(client.__all__)


@pytest.mark.parametrize("module", modules())
def test_each_module_says_what_it_is_and_what_it_gives(module: str) -> None:
    tree = ast.parse(modules()[module].read_text())
    assert ast.get_docstring(tree), f"{module} has no docstring"


VALUES = {"Protocol", "NamedTuple", "Enum", "TypedDict", "dict", "list", "str", "property", "BaseSettings"}
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
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, functions) and node.end_lineno is not None:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 70, f"{node.name} has {lines} lines"
