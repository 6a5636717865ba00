"""The database behind entities: threads, processes, forks, searches in any script, and URLs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, make_url, true
from sqlmodel import Field, Session, select

import nitro
from nitro import errors
from nitro.delivery.hub import Hub
from nitro.entities.entity import Entity
from nitro.errors import ConfigurationError
from nitro.repository import SQLModelRepository, default_repository
from nitro.repository.query import searched
from nitro.settings import get_settings
from nitro.testing import captured

THREADS = 16
T = TypeVar("T")


class RepositoryNote(Entity, table=True):
    title: str = ""
    number: int = Field(default=0)


class RepositoryTask(Entity, table=True, live=True):
    title: str = ""


@pytest.fixture(params=["file", "memory"])
def repository(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SQLModelRepository]:
    url = f"sqlite:///{tmp_path / 'notes.db'}" if request.param == "file" else "sqlite://"
    repository = SQLModelRepository(url)
    repository.init_db()
    for kind in (RepositoryNote, RepositoryTask):
        monkeypatch.setattr(kind, "_repository", repository)
    yield repository
    repository.close()


def at_once(work: Callable[[int], T]) -> list[T]:
    """The results of `work(0)` to `work(15)`, each in a thread of its own, all started together."""
    barrier = Barrier(THREADS)

    def started(number: int) -> T:
        barrier.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(started, range(THREADS)))


@pytest.mark.slow
def test_many_threads_write_and_read_at_once(repository: SQLModelRepository) -> None:
    def work(number: int) -> None:
        for step in range(25):
            note = RepositoryNote(title=f"{number}-{step}").save()
            note.number = step
            note.save()
            assert RepositoryNote.get(note.id) == note
            assert RepositoryNote.find_by(title=note.title) == note
            if step % 2:
                assert note.delete() is True

    at_once(work)
    kept = RepositoryNote.all()
    assert {note.title for note in kept} == {f"{n}-{s}" for n in range(THREADS) for s in range(0, 25, 2)}
    assert all(note.title.endswith(f"-{note.number}") for note in kept)


def test_many_threads_may_save_the_same_new_id(repository: SQLModelRepository) -> None:
    at_once(lambda number: RepositoryNote(id="same", number=number).save())
    assert [note.id for note in RepositoryNote.all()] == ["same"]


def test_only_one_of_many_threads_deletes_a_row(repository: SQLModelRepository) -> None:
    note = RepositoryNote(id="1").save()
    assert sorted(at_once(lambda _: note.delete())) == [False] * (THREADS - 1) + [True]


@pytest.fixture
def handlers(hub: Hub, no_handlers: None) -> None:
    """Handlers of this test alone."""


@pytest.mark.usefixtures("handlers")
def test_a_handler_reads_while_a_row_is_saved(repository: SQLModelRepository) -> None:
    RepositoryNote(id="1", title="note").save()
    found = []

    @nitro.on("repository_task.created")
    def read(sender: str, **_: object) -> None:
        found.append((RepositoryNote.find_by(title="note"), RepositoryNote.count(), RepositoryTask.exists(sender)))

    with captured("repository_task.*") as emitted:
        saved = RepositoryTask(title="saved").save()
        with Session(repository.engine) as session:
            session.add(RepositoryTask(title="in a session of one's own"))
            session.commit()
        with Session(repository.engine) as session:
            session.add(RepositoryTask(title="rolled back"))
            session.flush()
            assert RepositoryNote.get("1") is not None
            session.rollback()
    assert [each.data["title"] for each in emitted] == ["saved", "in a session of one's own"]
    assert {task.title for task in RepositoryTask.all()} == {"saved", "in a session of one's own"}
    assert RepositoryTask.get(saved.id) == saved
    is_seen = repository.engine.url.database is None  # in memory it sees what is written; in a file, what is committed
    assert found == [(RepositoryNote(id="1", title="note"), 1, is_seen)] * 2


@pytest.mark.usefixtures("handlers")
def test_a_handler_that_saves_is_told_what_to_do_and_harms_nothing(repository: SQLModelRepository) -> None:
    raised = []

    @nitro.on("repository_task.created")
    def write(sender: str, session: Session, **_: object) -> None:
        for work in (RepositoryNote().save, lambda: RepositoryNote.delete_where(true()), repository.init_db):
            with pytest.raises(ConfigurationError, match="session="):
                work()
            raised.append(sender)
        session.add(RepositoryNote(title="of the handler"))

    task = RepositoryTask(title="saved").save()
    assert raised == [task.id] * 3
    assert RepositoryTask.all() == [task]
    assert [note.title for note in RepositoryNote.all()] == ["of the handler"]
    RepositoryNote(title="later").save()
    assert RepositoryNote.count() == 2


def test_what_follows_a_commit_may_save(repository: SQLModelRepository) -> None:
    def note(_: Session) -> None:
        if RepositoryNote.count() == 0:
            RepositoryNote(id="note", number=RepositoryTask.count()).save()

    event.listen(Session, "after_commit", note)
    try:
        RepositoryTask().save()
    finally:
        event.remove(Session, "after_commit", note)
    assert RepositoryNote.all() == [RepositoryNote(id="note", number=1)]


def test_entities_are_saved_while_a_session_of_ones_own_reads(repository: SQLModelRepository) -> None:
    RepositoryNote(id="1").save()
    with Session(repository.engine) as session:
        assert session.get(RepositoryNote, "1") is not None
        RepositoryNote(id="2").save()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(RepositoryNote(id="3").save).result(timeout=30)
    assert RepositoryNote.count() == 3


def test_in_memory_a_thread_that_would_wait_for_itself_is_told_so() -> None:
    repository = in_memory
    with Session(repository.engine) as session:
        session.add(RepositoryNote(id="1"))
        session.flush()
        with pytest.raises(ConfigurationError, match="session="):
            repository.save(RepositoryNote(id="2"))
        with Session(repository.engine) as another, pytest.raises(ConfigurationError, match="session="):
            another.add(RepositoryNote(id="3"))
            another.commit()
        session.commit()
    assert [note.id for note in repository.where(RepositoryNote)] == ["1"]
    repository.delete(RepositoryNote(id="1"))


def test_what_a_session_of_ones_own_writes_is_waited_for_and_not_seen_before() -> None:
    repository = in_memory
    waiting, asked = Barrier(3), []

    def ask(work: Callable[[], object]) -> object:
        waiting.wait(timeout=30)
        return work()

    with ThreadPoolExecutor(2) as pool, Session(repository.engine) as session:
        session.add(RepositoryNote(id="1"))
        session.flush()
        for work in (
            lambda: repository.count(RepositoryNote, RepositoryNote.id == "1"),
            lambda: repository.save(RepositoryNote(id="2")),
        ):
            asked.append(pool.submit(ask, work))
        waiting.wait(timeout=30)
        assert wait(asked, timeout=0.2).done == set()
        assert repository.get(RepositoryNote, "1") is not None, "by the thread for which they wait"
        session.commit()
        assert [each.result(timeout=30) for each in asked] == [1, None]
    assert repository.delete_where(RepositoryNote, true()) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("handlers")
def test_threads_mix_entities_with_sessions_of_their_own_and_handlers_read(repository: SQLModelRepository) -> None:
    nitro.on("repository_task.created")(lambda sender, **_: RepositoryNote.count() + RepositoryTask.exists(sender))

    def work(number: int) -> None:
        for step in range(10):
            with Session(repository.engine) as session:
                session.add(RepositoryTask(title=f"session {number} {step}"))
                session.flush()
                RepositoryTask.count()
                session.commit()
            with Session(repository.engine) as session:
                session.add(RepositoryTask(title="rolled back"))
                session.flush()
                RepositoryNote.count()
                session.rollback()
            with Session(repository.engine) as session:
                session.exec(select(RepositoryTask)).first()
                RepositoryTask(title=f"entity {number} {step}").save()

    at_once(work)
    kept = {f"{kind} {n} {step}" for kind in ("session", "entity") for n in range(THREADS) for step in range(10)}
    assert sorted(task.title for task in RepositoryTask.all()) == sorted(kept)


def test_init_db_may_be_called_again_and_by_many_threads(tmp_path: Path) -> None:
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'new.db'}")
    at_once(lambda _: repository.init_db())
    repository.save(note := RepositoryNote(title="kept"))
    repository.init_db()
    assert repository.get(RepositoryNote, note.id) == note
    repository.close()


def test_the_first_queries_of_many_threads_share_one_memory_database() -> None:
    repository = SQLModelRepository("sqlite://")
    assert len({id(engine) for engine in at_once(lambda _: repository.engine)}) == 1
    repository.close()


def test_a_file_has_a_write_ahead_log_and_enforces_references(tmp_path: Path) -> None:
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'wal.db'}")
    with repository.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}
    repository.close()


ENTITY = """
import os, sys
from nitro.entities.entity import Entity
class RepositoryChild(Entity, table=True):
    title: str
"""
START_AND_WRITE = """
RepositoryChild._repository.init_db()
for step in range(20):
    RepositoryChild(title="a").save()
"""
FORK = """
repository = RepositoryChild._repository
repository.init_db()
RepositoryChild(title="before").save()
pool = repository.engine.pool
children = []
for number in range(4):
    if (child := os.fork()) == 0:
        assert repository.engine.pool is not pool and repository.engine.pool.checkedin() == 0
        RepositoryChild(title=f"child {number}").save()
        assert RepositoryChild.find_by(title="before")
        sys.exit(0)
    children.append(child)
    RepositoryChild(title="parent").save()
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
assert repository.engine.pool is pool
RepositoryChild(title="after").save()
assert len(RepositoryChild.all()) == 10, RepositoryChild.all()
"""
FORK_IN_MEMORY = """
from sqlmodel import Session
repository = RepositoryChild._repository
repository.init_db()
RepositoryChild(title="parent").save()
with Session(repository.engine) as session:
    session.add(RepositoryChild(title="open"))
    session.flush()
    if (child := os.fork()) == 0:
        repository.init_db()
        assert RepositoryChild.all() == []
        RepositoryChild(title="child").save()
        assert RepositoryChild.count() == 1
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    session.commit()
assert {child.title for child in RepositoryChild.all()} == {"parent", "open"}
"""


def run(script: str, url: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"NITRO_DB_URL": url, "PYTHONPATH": str(Path(errors.__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", ENTITY + script], env=environment)


def test_many_processes_may_start_and_write_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    processes = [run(START_AND_WRITE, url) for _ in range(6)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 6
    repository = SQLModelRepository(url)
    with repository.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM repositorychild").scalar() == 120
    repository.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_connections_of_its_own_and_the_parent_keeps_its(tmp_path: Path) -> None:
    assert run(FORK, f"sqlite:///{tmp_path / 'forked.db'}").wait(timeout=120) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_of_a_database_in_memory_has_an_empty_one() -> None:
    assert run(FORK_IN_MEMORY, "sqlite://").wait(timeout=120) == 0


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.text("aAäÄßẞ%_\\/'\0", max_size=3)


@pytest.mark.slow
@given(titles=st.lists(words, max_size=4), text=words)
@settings(max_examples=200, deadline=None)
def test_search_finds_what_contains_the_text_in_any_case_and_script(titles: list[str], text: str) -> None:
    notes = [RepositoryNote(title=title) for title in titles]
    for note in notes:
        in_memory.save(note)
    try:
        found = {note.id for note in in_memory.search(RepositoryNote, text)}
        assert found == {note.id for note in notes if text.casefold() in note.title.casefold()}
    finally:
        for note in notes:
            in_memory.delete(note)


@pytest.fixture(scope="module", autouse=True)
def in_memory_tables() -> Iterator[None]:
    in_memory.init_db()
    yield
    in_memory.close()


in_memory = SQLModelRepository("sqlite://")


def test_outside_sqlite_a_search_escapes_wildcards() -> None:
    condition = searched([RepositoryNote.title], r"5%_\/", casefold=None)
    sql = condition.compile(dialect=make_url("postgresql://").get_dialect()())
    assert "title ILIKE '%%' || %(title_1)s" in str(sql)
    assert "|| '%%' ESCAPE '/'" in str(sql)
    assert sql.params == {"title_1": r"5/%/_\//"}


def test_the_default_repository_follows_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for url in ("sqlite:///one.db", "sqlite:///two.db", "sqlite:///one.db"):
        monkeypatch.setenv("NITRO_DB_URL", url)
        get_settings.cache_clear()
        found.append(default_repository())
        assert RepositoryNote._repository is found[-1]
    assert found[0] is found[2]
    assert found[0] is not found[1]
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nonsense", "NITRO_DB_URL"),
        ("postgresql://me:secret@host:port/x", "it is no URL of a database.*quote"),
        ("nosuch://host/x", "nosuch"),
        ("sqlite+aiosqlite://", "needs? a synchronous"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_configuration_error(url: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SQLModelRepository(url).init_db()


def test_repr_hides_the_password_and_opens_nothing() -> None:
    assert repr(SQLModelRepository("postgresql://me:secret@host/x?password=secret")) == (
        "<SQLModelRepository <Database postgresql://host/x not open>>"
    )
    assert repr(SQLModelRepository()) == "<SQLModelRepository <Database NITRO_DB_URL not open>>"
