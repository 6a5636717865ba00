"""Who may import whom: the left of the line never imports the right, and a driver stays in its own file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

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
    ),
    ("nitro.infrastructure.delivery.router", "nitro.infrastructure.delivery.feed"),
    ("nitro.infrastructure.delivery.replay", "nitro.infrastructure.delivery.limits"),
    ("nitro.infrastructure.delivery.backlog",),
    ("nitro.infrastructure.delivery.sink",),
    ("nitro.infrastructure.delivery.outbox",),
    (
        "nitro.infrastructure.delivery.members",
        "nitro.infrastructure.delivery.draining",
        "nitro.infrastructure.delivery.turns",
        "nitro.infrastructure.delivery.writes",
        "nitro.infrastructure.delivery.returning",
    ),
    ("nitro.infrastructure.delivery.registry", "nitro.infrastructure.delivery.heartbeat"),
    ("nitro.infrastructure.delivery.lane", "nitro.infrastructure.delivery.reader"),
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


def is_type_only(path: Path, imported: str) -> bool:
    tree = ast.parse(path.read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    inside = {node.module for block in guarded for node in ast.walk(block) if isinstance(node, ast.ImportFrom)}
    outside = {
        node.module
        for top in tree.body
        if top not in guarded
        for node in ast.walk(top)
        if isinstance(node, ast.ImportFrom)
    }
    return imported in inside and imported not in outside


@pytest.mark.parametrize("module", modules())
def test_imports_run_one_way(module: str) -> None:
    path = modules()[module]
    here = place(module)
    if here is None:
        return  # the packages that only hold others, and `nitro` itself, whose names are lazy
    for imported in imports(path):
        there = place(imported)
        if there is None or (module, imported) in UPWARD or is_type_only(path, imported):
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


def test_files_stay_short() -> None:
    long = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}
