"""Slips of the pen: what was hardly meant is refused or told, and never gives more than was meant."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import sqlalchemy
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import nitro
from nitro import (
    ANY,
    Client,
    EventSourceResponse,
    Grant,
    NitroWarning,
    active_clients,
    emit,
    event_stream,
    requested_topics,
)
from nitro.datastar import DatastarResponse
from nitro.delivery.hub import Hub
from nitro.errors import (
    ArgumentTypeError,
    ConfigurationError,
    InvalidPayload,
    InvalidTopic,
    NitroError,
    TopicTypeError,
)
from nitro.fastapi import EventStream
from nitro.messages.message import Position
from nitro.publisher import Publisher
from nitro.settings import Settings, get_settings, misspelt
from nitro.tickets import Tickets
from tests.cases import shown
from tests.deploying import service_links_of
from tests.servers import ROOT, Server
from tests.specification.hearing import heard_by, run
from tests.sse import Stream

SECRET = "a secret of the tests, which is long enough"


class Request:
    def __init__(self, query: bytes = b"") -> None:
        self.scope = {"query_string": query}


class Someone:
    """A user of an application, who has an id under another name."""

    user_id = 7


def may_hear() -> Grant | None:
    return None


# --- a client that hears everything


@pytest.mark.parametrize("text", ["todo.*", "user.5.*", "*", "ANY", "*.created", "**"])
@pytest.mark.parametrize("more", [{}, {"topics": ["todo.*"]}, {"allowed": ["todo.*"]}], ids=shown)
def test_a_pattern_in_the_place_of_the_client_id_is_refused(text: str, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidTopic) as refusal:
        Client(text, **more)
    assert f"Client(topics=[{text!r}])" in str(refusal.value)


def test_on_without_its_event_is_refused_with_what_to_write() -> None:
    def greet(sender: Any, **_: Any) -> None: ...

    with pytest.raises(TopicTypeError, match=r"write @on\('todo.created'\) above 'greet'"):
        nitro.on(greet)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda wrong: nitro.on("a.b")(wrong), "a handler is a function, or something else to call, not 'x'"),
        (lambda wrong: nitro.on("a.b", priority=wrong)(print), "priority is a number, higher ones run first, not 'x'"),
        (
            lambda wrong: nitro.on("a.b", condition=wrong)(print),
            "condition is a function of the handler's arg.* not 'x'",
        ),
        (lambda wrong: emit("a.b", result=1, session=wrong), "session is a SQLAlchemy session, not str"),
        (lambda wrong: nitro.event("a.c", latest_by=cast("str", [wrong])), "latest_by is the name of a field"),
        (lambda wrong: Client(last_event_id=cast("str", [wrong])), "last_event_id is a string or None, not list"),
    ],
    ids=["handler", "priority", "condition", "session", "latest_by", "last_event_id"],
)
@pytest.mark.usefixtures("hub")
def test_an_argument_of_another_type_is_refused_in_that_call(mistake: Callable[[Any], object], words: str) -> None:
    with pytest.raises(ArgumentTypeError, match=words):
        mistake("x")
    assert not nitro.event("a.b").receivers


@pytest.mark.parametrize("topic", ["user.ann@example.org.mail", "user/ann", "user.änn"])
def test_a_topic_with_an_id_that_is_no_segment_is_refused_with_the_function_that_escapes_it(topic: str) -> None:
    for use in (lambda: emit(topic, result=1), lambda: Client(topics=[topic]), lambda: nitro.event(topic)):
        with pytest.raises(InvalidTopic, match=r"escaped by segment\(\)"):
            use()
    with pytest.raises(InvalidTopic) as refused:
        emit("user ann", result=1)
    assert "segment()" not in str(refused.value)


@pytest.mark.parametrize(
    "topics", [["todo.*"], ANY, {"todo.*": ANY}, ("todo.*",), requested_topics(Request())], ids=shown
)
def test_topics_in_the_place_of_the_client_id_are_refused(topics: Any) -> None:
    with pytest.raises(TopicTypeError, match=r"pass topics by name: Client\(topics="):
        Client(topics)


@pytest.mark.parametrize("options", [{"client_id": "7"}, {"client_id": "todo.created"}, {"user_id": 7}], ids=shown)
def test_a_client_for_somebody_without_topics_is_warned_about_at_its_place(options: dict[str, Any]) -> None:
    with pytest.warns(NitroWarning, match=r"Client\(topics=\['todo.*'\]\)") as told:
        Client(**options)
    assert [Path(each.filename).name for each in told] == ["test_slips.py"]
    assert issubclass(NitroWarning, UserWarning)


def test_a_warning_holds_nothing_of_the_client_so_that_it_is_told_once() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for n in range(100):
            Client(f"client-{n}")
    assert len(told) == 1


@pytest.mark.parametrize(
    "said",
    [{"topics": ANY}, {"topics": "ANY"}, {"topics": ["ANY"]}, {"topics": ("ANY",)}, {"topics": []}, {"allowed": ANY}],
    ids=shown,
)
def test_a_client_with_an_id_that_says_what_it_hears_is_not_warned_about(said: dict[str, Any]) -> None:
    Client("7", user_id=7, **said)
    Client()


@pytest.mark.parametrize("query", [b"", b"topic=todo.*", b"topic=*"])
@pytest.mark.parametrize("options", [{}, {"denied": ["todo.secret"]}, {"client_id": "7", "user_id": 7}], ids=shown)
def test_what_a_request_asks_for_is_no_topics_without_what_is_allowed(query: bytes, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed=\['todo.*'\]\), or allowed=ANY"):
        Client(topics=requested_topics(Request(query)), **options)
    assert list(Client(topics=requested_topics(Request(query)), allowed=ANY, **options).topics) == [
        query.decode().removeprefix("topic=") or "*"
    ]


# --- what is granted


@pytest.mark.parametrize("nothing", [[], (), {}, set()], ids=shown)
def test_what_allows_nothing_is_nothing(nothing: Any) -> None:
    for client in (
        Client(topics=ANY, allowed=nothing),
        Client("7", allowed=nothing),
        Client(topics=requested_topics(Request()), allowed=nothing),
        event_stream(Request(), Grant(nothing)).client,  # type: ignore[attr-defined]
    ):
        assert client.topics == {}
        assert client.interest.permissions is not None
        assert not client.interest.permissions.permits("todo.a", None)


@pytest.mark.parametrize(
    "wrong", [None, True, False, 7, object(), b"todo.*", [None], [True], {"todo.*": None}], ids=shown
)
def test_what_is_no_list_of_topics_grants_nothing(wrong: Any) -> None:
    muted: Any = None if isinstance(wrong, dict) else wrong
    for make in (
        lambda: Grant(wrong),
        lambda: Grant([], wrong),
        lambda: Client(topics=wrong),
        lambda: Client(topics=[], allowed=["a"], muted_topics=muted),
    ):
        with pytest.raises(TopicTypeError):
            make()
    with pytest.raises(TypeError):
        Grant()  # type: ignore[call-arg]


@pytest.mark.parametrize("sender", [True, False, {"id": 7}, Someone(), may_hear, [["7"]]], ids=shown)
def test_a_sender_that_names_nobody_is_refused_wherever_senders_are_written(sender: Any) -> None:
    """`denied={"todo.secret": True}` would deny what comes from a sender whose name is True."""
    senders = sender if isinstance(sender, list) else [sender]
    for make in (
        lambda: Grant(["todo.*"], denied={"todo.secret": senders}),
        lambda: Client(topics=["todo.*"], denied={"todo.secret": senders}),
        lambda: Client(topics={"todo.*": senders}),
        lambda: Client(topics=[]).subscribe("todo.*", senders),
    ):
        with pytest.raises(TopicTypeError, match="ANY means all"):
            make()


@pytest.mark.parametrize("user", [True, {"id": 7}, Someone(), may_hear, [7], b"7"], ids=shown)
def test_a_user_id_that_names_nobody_is_refused(user: Any) -> None:
    """Nobody could be dismissed by it: each `Someone` has another text."""
    for make in (lambda: Client(topics=[], user_id=user), lambda: Grant([], user_id=user)):
        with pytest.raises(ConfigurationError, match="user_id is an id, or an object that has one"):
            make()


WRONG_GRANTS = [True, False, ["todo.*"], {"allowed": ["todo.*"]}, "todo.*", 0, "", Grant, may_hear, Request()]


@pytest.mark.parametrize("grant", WRONG_GRANTS, ids=shown)
def test_what_is_no_grant_opens_no_stream_no_ticket_and_no_publisher(grant: Any) -> None:
    for use in (
        lambda: event_stream(Request(), grant),
        lambda: Tickets(SECRET).issue(grant),
        lambda: Publisher({SECRET: grant}),
    ):
        with pytest.raises(ArgumentTypeError, match=r"is no Grant, but .*Grant\(\['todo.*'\]") as refusal:
            use()
        assert isinstance(refusal.value, NitroError)
        assert isinstance(refusal.value, TypeError)


def test_no_grant_is_no_ticket_and_no_key() -> None:
    for use in (lambda: Tickets(SECRET).issue(None), lambda: Publisher({SECRET: None})):  # type: ignore[arg-type, dict-item]
        with pytest.raises(ArgumentTypeError, match="is no Grant, but None"):
            use()


@pytest.mark.parametrize("secret", [None, "", [], [None], 7, b"a secret of bytes, long enough"], ids=shown)
def test_a_secret_or_a_key_that_is_none_is_refused(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="16 characters"):
        Tickets(secret)
    if not isinstance(secret, list):
        with pytest.raises(ConfigurationError, match="16 ASCII characters"):
            Publisher({secret: Grant(["a"], user_id="billing")})


@pytest.mark.parametrize("keys", [None, True, SECRET, [SECRET], {SECRET}], ids=shown)
def test_a_publisher_takes_a_mapping_of_keys(keys: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="a mapping of keys to their grants"):
        Publisher(keys)


@pytest.mark.parametrize(
    "wrong",
    [["todo.*"], True, None, "todo.*", Grant(["todo.*"]), Grant, partial(Grant, ["todo.*"])],
    ids=shown,
)
def test_an_event_stream_takes_the_function_that_says_who_may_hear(wrong: Any) -> None:
    """FastAPI would read the arguments of `Grant` itself from the URL."""
    with pytest.raises(ArgumentTypeError, match=r"EventStream\(lambda: Grant\(\['todo.*'\]\)\)"):
        EventStream(wrong)


# --- what is sent


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class RowOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str


@pytest.mark.parametrize(
    "wrap", [lambda row: row, lambda row: [row], lambda row: {"rows": [1, row]}], ids=["alone", "in a list", "deeper"]
)
def test_a_model_of_sqlalchemys_is_told_how_to_be_sent(wrap: Callable[[Any], Any], hub: Hub) -> None:
    row = Row(id=1, title="milk")
    with pytest.raises(InvalidPayload, match="Row is a model of SQLAlchemy's: pass a pydantic model") as refusal:
        emit("row.created", result=wrap(row))
    assert "an Entity is passed as it is" in str(refusal.value)
    found = re.search(r"\((\{.*?column_attrs\})\)", str(refusal.value))
    assert found is not None
    as_dict = eval(found[1], {"sqlalchemy": sqlalchemy, "row": row})
    with Client(topics=["row.*"]) as client:
        emit("row.created", result=wrap(RowOut.model_validate(row)))
        emit("row.created", result=wrap(as_dict))
        run(lambda: check_heard(client, [wrap({"id": 1, "title": "milk"})] * 2))


def test_a_row_of_sqlalchemys_is_told_how_to_be_sent(hub: Hub) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        row = connection.execute(sqlalchemy.text("select 1 as id")).one()
    engine.dispose()
    with pytest.raises(InvalidPayload, match=r"is a row of SQLAlchemy's: pass dict\(row._mapping\)"):
        emit("row.created", result=[row])
    with Client(topics=["row.*"]) as client:
        emit("row.created", result=dict(row._mapping))
        run(lambda: check_heard(client, [{"id": 1}]))


async def check_heard(client: Client, expected: list[Any]) -> None:
    assert await heard_by(client) == expected


@pytest.mark.parametrize(
    "wrong",
    [Client, None, "todo.*", ["todo.*"], Grant(["todo.*"]), (n for n in range(3)), lambda: Client()],
    ids=shown,
)
@pytest.mark.parametrize("response", [EventSourceResponse, DatastarResponse])
def test_a_response_takes_a_client_and_shows_what_it_got(response: Any, wrong: Any) -> None:
    with pytest.raises(
        ArgumentTypeError, match=rf"{response.__name__} takes a Client, such as Client\(topics="
    ) as refusal:
        response(wrong)
    assert ascii(wrong)[:40] in str(refusal.value)


@pytest.mark.parametrize("response", [EventSourceResponse, DatastarResponse])
@pytest.mark.parametrize("wrong", [5, b"a-1", Position("a", 1)], ids=shown)
def test_a_response_starts_at_a_text_and_says_so_before_anybody_connects(response: Any, wrong: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="since is a string or None, not "):
        response(Client(topics=["todo.*"]), since=wrong)
    client = Client(topics=["todo.*"])
    with pytest.raises(ArgumentTypeError, match="last_event_id is a string or None, not "):
        client.resume(wrong)
    assert len(active_clients) == nitro.statistics().clients == 0


# --- settings


@pytest.mark.parametrize("name", ["NITRO_MAX_PUBLISH_QUEUE_BYTES", "NITRO_MAX_OUTGOING_BYTES"])
def test_a_setting_is_read_by_its_former_name_too(
    name: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, "4096")
    get_settings.cache_clear()
    assert get_settings().max_publish_queue_bytes == 4096
    assert caplog.records == []
    monkeypatch.setenv(name, "many")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=f"{name} is 'many': "):
        get_settings()


def test_a_setting_with_a_former_name_is_set_in_code_by_its_own() -> None:
    assert Settings(max_publish_queue_bytes=4096).max_publish_queue_bytes == 4096


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("NITRO_BROKER_URI", "NITRO_BROKER_URL"),
        ("NITRO_BROKERURL", "NITRO_BROKER_URL"),
        ("NITRO_BROKER", "NITRO_BROKER_URL"),
        ("nitro_broker_ulr", "NITRO_BROKER_URL"),
        ("NITRO_DATABASE_URL", "NITRO_DB_URL"),
        ("NITRO_MAX_CLIENT", "NITRO_MAX_CLIENTS"),
        ("NITRO_MAX_CLIENTS_PER_IP", "NITRO_MAX_CLIENTS_PER_USER"),
        ("NITRO_HEARTBEAT", "NITRO_HEARTBEAT_SECONDS"),
        ("NITRO_NAME_SPACE", "NITRO_NAMESPACE"),
        ("NITRO_REDIS_URL", "NITRO_BROKER_URL"),
        ("NITRO_MAX_OUTGOING_BYTE", "NITRO_MAX_OUTGOING_BYTES"),
        ("NITRO_RETRY_MILISECONDS", "NITRO_RETRY_MILLISECONDS"),
    ],
)
def test_a_misspelt_variable_is_told_once_with_the_nearest_one(
    name: str, nearest: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, "1")
    get_settings.cache_clear()
    get_settings()
    get_settings()
    assert [record.getMessage() for record in caplog.records] == [
        f"{name!r} is no setting of Nitro's and changes nothing; is {nearest} meant?"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "PORT",
        "HOST",
        "PRESET",
        "UNIX_SOCKET",
        "SSL_KEY",
        "APP_BASE_URL",
        "ENV_PREFIX",
        "SHUTDOWN_TIMEOUT",
        "LOG_LEVEL",
        "CLI_ARTIFACTS",
        "TEST_EXAMPLES",
        "SCREENSHOTS",
        "RECIPE",
        "BROKER_URL",
        "db_url",
    ],
)
def test_variables_of_others_and_those_that_are_right_are_not_told(
    name: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server of that name in JavaScript has a dozen; so have the tests of this one."""
    monkeypatch.setenv(f"NITRO_{name}", "memory://")
    monkeypatch.setenv("NITROGEN_BROKER_URI", "1")
    get_settings.cache_clear()
    get_settings()
    assert caplog.records == []


def test_variables_of_services_of_kubernetes_are_not_told(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    links = service_links_of("nitro-broker")
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    get_settings()
    assert caplog.records == []
    assert list(misspelt(links)) == []
    assert dict(misspelt({"NITRO_BROKER_PORT"})) == {"NITRO_BROKER_PORT": "NITRO_BROKER_URL"}, "of no Service"


# --- what a type checker sees


def test_a_type_checker_refuses_a_name_that_there_is_not_and_knows_those_that_are(tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("NO MYPY: it checks types once, in the environment that make test makes, and not for each Python")
    (tmp_path / "wrong.py").write_text("import nitro\nfrom nitro import nosuch\nnitro.emitt\n")
    names = ", ".join(nitro.__all__)
    (tmp_path / "right.py").write_text(
        f"import nitro\nfrom nitro import {names}\nfrom typing import assert_type\n"
        "assert_type(nitro.__version__, str)\nassert_type(segment(7), str)\nassert_type(NitroWarning(), NitroWarning)\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--config-file",
        str(ROOT / "pyproject.toml"),
    ]
    told = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "wrong.py"), str(tmp_path / "right.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    problems = [line.partition("wrong.py:")[2] for line in told.stdout.splitlines()]
    assert told.stderr == ""
    assert len(problems) == 2, told.stdout
    assert problems[0].startswith('2: error: Module "nitro" has no attribute "nosuch"')
    assert problems[1].startswith('3: error: Module has no attribute "emitt"')


def test_a_name_that_there_is_not_is_an_error_of_pythons_own() -> None:
    with pytest.raises(ImportError, match="nosuch"):
        from nitro import nosuch  # type: ignore[attr-defined]  # noqa: F401


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert nitro.__version__ == project["version"]
    assert "__version__" in dir(nitro)


# --- over HTTP


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.slips:app") as server:
        yield server


def ask(server: Server, path: str) -> int:
    return httpx.get(server.url + path, timeout=10, trust_env=False, verify=False).status_code


def printed_by(server: Server, path: str, status: int, *wanted: str) -> str:
    """What the server prints about a request, as soon as all that is wanted is there."""
    before = len(server.output)
    assert ask(server, path) == status
    wait_until(lambda: all(text in server.output[before:] for text in (f"GET {path}", *wanted)))
    return server.output[before:]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, "it didn't come to that"
        time.sleep(0.01)


@pytest.mark.parametrize("what", ["true", "false", "list", "dict", "text", "class"])
def test_a_function_that_returns_no_grant_is_named_and_nobody_gets_a_stream(server: Server, what: str) -> None:
    printed_by(server, f"/returned?what={what}", 500, "what tests.apps.slips.returns returned is no Grant")
    printed_by(server, f"/by-hand?what={what}", 500, "the grant of event_stream is no Grant")
    assert server.get("/clients").json() == 0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/raised?name=ann", "tests.apps.slips.raises"),
        ("/raised-async?name=ann", "tests.apps.slips.raises_async"),
        ("/raised-partial", "tests.apps.slips.raises"),
        ("/raised-object?name=ann", "tests.apps.slips.Rights"),
    ],
)
def test_an_exception_in_the_function_that_says_who_may_hear_is_logged_by_its_name(
    server: Server, path: str, name: str
) -> None:
    printed = printed_by(server, path, 500, "Traceback", "KeyError")
    told = [line for line in printed.splitlines() if "which says who may hear what" in line]
    assert len(told) == 1
    assert told[0].startswith(f"{name}, which says who may hear what, raised KeyError: ")


@pytest.mark.parametrize(
    ("path", "status"), [("/raised?name=nobody", 401), ("/raised?name=stranger", 403), ("/raised-beside", 500)]
)
def test_what_the_application_answers_itself_or_raises_elsewhere_is_not_told_as_that_functions(
    server: Server, path: str, status: int
) -> None:
    assert "which says who may hear what" not in printed_by(server, path, status)


def test_a_stranger_gets_no_stream_where_nothing_says_what_is_allowed(server: Server) -> None:
    for query in ("?topic=*", ""):
        printed_by(server, f"/requested{query}", 500, "allowed=ANY for everything")
    with Stream(server.port, "/requested-any?topic=todo.*") as stream:
        stream.read_until(b"id: ")
        server.post("/emit/order.a?result=other")
        server.post("/emit/todo.a?result=asked")
        assert stream.events(1) == ["asked"]


@pytest.mark.parametrize("path", ["/one-response", "/one-client"])
def test_what_streams_already_is_refused_to_a_second_request_and_the_first_goes_on(server: Server, path: str) -> None:
    what = "this client is streamed already, to another request"
    for _ in range(2):  # one after the other it can be used again
        with Stream(server.port, path) as stream:
            stream.read_until(b"id: ")
            printed_by(server, path, 500, what, "anew for each request, in the endpoint")
            server.post("/emit/todo.a?result=1")
            assert stream.events(1) == ["1"]
            printed_by(server, path, 500, what)
            server.post("/emit/todo.a?result=2")
            assert stream.events(2) == ["1", "2"]
        wait_until(lambda: server.get("/clients").json() == 0)


def test_of_many_requests_at_once_for_one_response_one_is_answered(server: Server) -> None:
    """None of them has begun to read when the next one comes."""
    with contextlib.ExitStack() as opened:
        streams = [opened.enter_context(Stream(server.port, "/one-response")) for _ in range(5)]
        assert sorted(stream.read_head().head.split()[1] for stream in streams) == ["200"] + ["500"] * 4
        (first,) = (stream for stream in streams if "200" in stream.head.split()[1])
        server.post("/emit/todo.a?result=1")
        assert first.events(1) == ["1"]
    wait_until(lambda: server.get("/clients").json() == 0)


def test_a_parameter_of_the_path_may_be_called_as_those_of_the_stream_are(server: Server) -> None:
    with Stream(server.port, "/rooms/7/a/b/c?topic=room.7.mail") as stream:
        stream.read_until(b"id: ")
        assert "x-room: 7" in stream.head
        for topic in ("room.8.mail", "room.7.other", "room.7.mail"):
            server.post(f"/emit/{topic}?result={topic}")
        assert stream.events(1) == ["room.7.mail"]
    assert ask(server, "/rooms/7/a/b/c?topic=room.8.*") == 403
    with Stream(server.port, "/any-room/7?topic=room.8.*") as stream:
        stream.read_until(b"id: ")
        server.post("/emit/room.7.mail?result=7")
        server.post("/emit/room.8.mail?result=8")
        assert stream.events(1) == ["8"]


def test_the_documentation_shows_the_topic_of_the_path_beside_that_of_the_query(server: Server) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    shown = {(each["in"], each["name"], each["required"]) for each in paths["/any-room/{topic}"]["get"]["parameters"]}
    assert ("query", "topic", False) in shown
    in_room = paths["/rooms/{topic}/{request}/{grant}/{watch}"]["get"]["parameters"]
    assert [(each["in"], each["name"]) for each in in_room if each["name"] == "topic"] == [
        ("path", "topic"),
        ("query", "topic"),
    ]
    assert not {each["name"] for each in in_room} & {"nitro_topics", "request", "grant"}


# --- runs


async def _answer(question: str) -> AsyncIterator[str]:
    yield question


def _report() -> Iterator[str]:
    yield "a"


def _convert(run: nitro.runs.Run, pages: int = 3) -> None:
    run.send(pages)


class _Convert:
    def __call__(self, run: nitro.runs.Run) -> None:
        run.send(1)


class _ConvertSoon:
    async def __call__(self, run: nitro.runs.Run) -> None:
        await run.send(1)

    async def convert(self, run: nitro.runs.Run, pages: int = 1) -> None:
        await run.send(pages)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (_convert, "write `async def _convert`; or leave the work out"),
        (partial(partial(_convert), pages=4), "write `async def _convert`"),
        (_Convert(), "write `async def __call__`"),
        (_Convert().__call__, "write `async def __call__`"),
        (_answer, r"what _answer\(…\) returns, and not the function: start\(_answer\(question\)\)"),
        (partial(_answer, "why"), r"what _answer\(…\) returns"),
        (_report, "`async def` with `yield`"),
        (7, "takes an async iterator"),
    ],
    ids=shown,
)
@pytest.mark.usefixtures("hub")
def test_a_run_takes_what_a_generator_function_returns(work: Any, words: str) -> None:
    with pytest.raises(ArgumentTypeError, match=words):
        asyncio.run(nitro.runs.start(work))


@pytest.mark.parametrize(
    "work",
    [
        _ConvertSoon(),
        _ConvertSoon().convert,
        partial(partial(_ConvertSoon().convert), pages=1),
        lambda run: _ConvertSoon().convert(run),
    ],
    ids=["object", "method", "partial", "lambda"],
)
@pytest.mark.usefixtures("hub")
def test_a_run_takes_whatever_can_be_awaited(work: Any) -> None:
    async def scenario() -> list[Any]:
        return await (await nitro.runs.start(work)).result()

    assert asyncio.run(scenario()) == [1]


@pytest.mark.usefixtures("hub")
def test_rooms_that_a_request_asks_for_may_be_none() -> None:
    assert not Client(topics=["a"], user_id="ann", presence=[], state={"name": "Ann"}).is_connected
    with pytest.raises(ConfigurationError, match="pass presence=, too"):
        Client(topics=["a"], user_id="ann", state={"name": "Ann"})
