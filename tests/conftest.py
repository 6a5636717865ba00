"""What the tests share: a hub of their own for each, and a browser where there is one."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from blockbuster import blockbuster_ctx
from playwright.sync_api import Browser, Page, sync_playwright
from sqlmodel import SQLModel

from nitro.clients.client import active_clients
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.delivery.process import get_hub
from nitro.events.event import default_namespace
from nitro.live import declaring
from nitro.settings import get_settings
from tests import forked, servers
from tests.engines import ENGINES, Engine
from tests.order import seconds_of
from tests.reach import starts_a_process

WAYS: dict[str, tuple[str, ...]] = {"by send": (), "direct": ("--http", "nitro.uvicorn:HttpProtocol")}
HEADLESS_CHROMIUM = Path(os.environ.get("NITRO_TEST_CHROMIUM", "/usr/bin/chromium-headless-shell"))
"""Without windows, it does the same for a third of the work; `make test-engines` takes the whole one instead."""
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start, also if this was started in the background, where shells ignore it."""
    forked.is_used = "NITRO_TEST_FRESH" not in os.environ
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    assert " at 0x" not in item.nodeid, f"{item.nodeid} has another name in each process; name its cases by `shown`"
    if isinstance(item, pytest.Function) and starts_a_process(item):
        item.add_marker("server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first; within a file, everything stays in its order."""
    items.sort(key=lambda item: -seconds_of(item.path))


def pytest_collection_finish() -> None:
    """What all the tests are made of stays until the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Where a module says `BOTH_WAYS = True`, what starts uvicorn runs over its own HTTP protocol and over ours."""
    if getattr(metafunc.module, "BOTH_WAYS", False) and starts_a_process(metafunc.definition):
        metafunc.fixturenames.insert(0, "way")
        metafunc.parametrize("way", WAYS, indirect=True)


@pytest.fixture(autouse=True)
def loops_are_not_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    """A call of Nitro's that would block an event loop raises `BlockingError`, in all tests that start no process.

    A log asks its file in a loop of its own, which serves nobody; entities are synchronous, as the documentation says.
    """
    if request.node.get_closest_marker("server") is not None:
        yield
        return
    with blockbuster_ctx("nitro", excluded_modules=["nitro.brokers", "nitro.entities", "nitro.repository"]):
        yield


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How uvicorn streams in this test: one of `WAYS`."""
    monkeypatch.setattr(servers, "uvicorn_options", WAYS[request.param])
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A fresh hub, so that no test hears another's events; nobody may be left connected at its end."""
    get_settings.cache_clear()
    monkeypatch.setattr(process, "_hub", None)
    yield get_hub()
    if process._hub is not None:
        process._hub.close(0.5)
    get_settings.cache_clear()
    left = active_clients.connected()
    for client in left:
        client.disconnect()
    assert not left, "the test left clients connected"


@pytest.fixture
def hub_with(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hub]:
    """A fresh hub with other settings: `hub_with(client_max_bytes=1000)`."""

    def make(**settings: object) -> Hub:
        for name, value in settings.items():
            monkeypatch.setenv(f"NITRO_{name.upper()}", str(value))
        get_settings.cache_clear()
        monkeypatch.setattr(process, "_hub", None)
        return get_hub()

    return make


@pytest.fixture
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The default namespace without handlers, and nothing left in it for the tests behind this one."""

    def clear() -> None:
        for topic in tuple(default_namespace.values()):
            topic.receivers.clear()
            topic._registrations.clear()  # else a function that happens to have the id of another one has its options
            topic._clear_state()

    monkeypatch.setattr(default_namespace, "_patterns", {})
    clear()
    yield
    clear()


@pytest.fixture
def own_declarations(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Schemas of events, live models and tables: those of other tests are set aside, and its own go with the test."""
    schemas = {name: found.schema for name, found in default_namespace.items()}
    tables = set(SQLModel.metadata.tables)
    for found in default_namespace.values():
        found.schema = None
    monkeypatch.setattr(declaring, "_declared", {})
    yield
    for name, found in default_namespace.items():
        found.schema = schemas.get(name)
    for name in SQLModel.metadata.tables.keys() - tables:
        SQLModel.metadata.remove(SQLModel.metadata.tables[name])


@pytest.fixture
def own_engines() -> Iterator[None]:
    """The engines that are used in a test are disposed of with it."""
    used: set[sqlalchemy.Engine] = set()

    def note(connection: sqlalchemy.Connection) -> None:
        used.add(connection.engine)

    sqlalchemy.event.listen(sqlalchemy.Engine, "engine_connect", note)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "engine_connect", note)
    for engine in used:
        engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; where there is none its tests are skipped, and the summary counts them.

    It goes with the module, since Playwright keeps an event loop running in the main thread.
    """
    if not HEADLESS_CHROMIUM.exists():
        name = HEADLESS_CHROMIUM.name
        pytest.skip(f"NO BROWSER: {HEADLESS_CHROMIUM} is missing; install Debian's {name} to run this test")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(HEADLESS_CHROMIUM), args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=["firefox", "webkit"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A browser other than Chromium."""
    with ENGINES[request.param](tmp_path_factory.mktemp(request.param)) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab in a context of its own; what goes wrong in the page fails the test."""
    context = browser.new_context()
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(f"{error}\n{error.stack}"))
    yield tab
    context.close()
    assert problems == []
