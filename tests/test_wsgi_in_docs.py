"""`docs/how-to/flask.md` and `docs/how-to/django.md` as they stand there: gunicorn, a hub, two brokers, Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.brokers import BROKERS, Broker
from tests.commands import Command, run
from tests.documents import ROOT, Document
from tests.wsgi_programs import Programs

pytestmark = pytest.mark.browser

RUNS_BLOCKS = {
    "docs/how-to/flask.md": ["python", "Serving both: sh"],
    "docs/how-to/django.md": ["python", "html", "Serving both: sh", "Under ASGI: sh"],
}
FLASK, DJANGO = Document("docs/how-to/flask.md"), Document("docs/how-to/django.md")
FILES = {
    re.match(r"(?:#|<!--) (\S+/\S+?)(?: -->)?\n", block.source)[1]: block.source  # type: ignore[index]
    for block in (*DJANGO.all("python"), *DJANGO.all("html"))
}
"""The files of Django's project, by their paths."""

ENVIRONMENT = {"NITRO_SERVE_TICKET_SECRET": "a secret of the tests, which is long enough"}
"""What nothing in the commands sets."""
FLASK_LOGIN = """

@app.get("/login")
def login():
    session["user"] = "ann"
    return "logged in"
"""
"""The application's own, which the page leaves to it."""

SETTINGS = """
import os
import re

SECRET_KEY = "a secret of the tests, which is long enough"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "todos"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
postgresql = re.fullmatch(r"postgresql://(\\w+)@([\\w.]+):(\\d+)/(\\w+)", os.environ.get("NITRO_BROKER_URL", ""))
if postgresql:
    user, host, port, name = postgresql.groups()
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": name, "USER": user, "HOST": host, "PORT": port,
    }}
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "data.db", "OPTIONS": {"timeout": 20}}}
"""
WSGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""
DJANGO_DOORS = """

from django.contrib.auth import get_user_model, login as log_in
from django.db import transaction
from django.http import HttpResponse


def login(request):
    user, _ = get_user_model().objects.get_or_create(username="ann")
    log_in(request, user, "django.contrib.auth.backends.ModelBackend")
    return HttpResponse("logged in")


def fail(request):
    request.method, request.POST = "POST", {"title": "rolled back"}
    try:
        with transaction.atomic():
            views.create(request)
            raise RuntimeError
    except RuntimeError:
        return HttpResponse("rolled back")


urlpatterns += [path("login", login), path("fail", fail)]
"""
"""The application's own, which the page leaves to it, and a transaction that fails."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path_factory.mktemp("broker")) as started:
        yield started


def add(page: Page, title: str) -> None:
    page.fill("input[name=title]", title)
    with page.expect_navigation():
        page.press("input[name=title]", "Enter")


def hears(browser: Browser, programs: Programs, *, between: str = "") -> None:
    """A page of somebody's shows what another page adds, once and without being loaded again, though one ticket fails.

    Args:
        between: a path of the application that is asked in between, of which nothing is heard.
    """
    context = browser.new_context()
    one, other = context.new_page(), context.new_page()
    problems: list[str] = []
    one.on("pageerror", lambda error: problems.append(str(error)))
    one.route("**/ticket", lambda route: route.fulfill(status=502), times=1)
    one.goto(f"{programs.url}/login")
    one.goto(programs.url)
    one.evaluate("window.isTheSame = true")
    other.goto(programs.url)
    titles: list[str] = []
    for title in ("Milk", "<b>Bread</b>"):
        titles.append(title)
        add(other, title)
        if between:
            assert one.evaluate("async (path) => (await fetch(path)).text()", between) == "rolled back"
        expect(one.locator("li")).to_have_text(titles, timeout=20_000)  # the next one may be another process's
    expect(other.locator("li")).to_have_text(titles)
    assert one.evaluate("window.isTheSame") is True
    has_tickets = "ticket()" in one.content()
    context.close()
    assert problems == ["No ticket: 502"] * has_tickets


def test_flask_under_gunicorn_emits_and_its_pages_hear_the_hub(
    broker: Broker, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(FLASK.the("python").source + FLASK_LOGIN)
    with Programs(FLASK.the("sh", "Serving both").source, tmp_path, broker.url) as programs:
        hears(browser, programs)
    assert "Traceback" not in programs.output, programs.output


@pytest.fixture(scope="module")
def migrated(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Django's project: the files of the page, those that every project has, and the migrations, which were run."""
    folder = tmp_path_factory.mktemp("project")
    own = {
        "project/__init__.py": "",
        "project/settings.py": SETTINGS,
        "project/wsgi.py": WSGI,
        "todos/__init__.py": "",
    }
    for name, text in {**FILES, **own}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + DJANGO_DOORS if name == "project/urls.py" else text)
    django(folder, broker, "-m", "django", "makemigrations", "todos")
    django(folder, broker, "-m", "django", "migrate")
    return folder


@pytest.fixture
def project(broker: Broker, migrated: Path, tmp_path: Path) -> Path:
    """The same for one test, without any rows."""
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)
    django(tmp_path, broker, "-m", "django", "flush", "--no-input")
    return tmp_path


def django(folder: Path, broker: Broker, *arguments: str) -> None:
    """Run Python with these arguments in the project in that folder, to its end."""
    environment = {"DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": f"{folder}:{ROOT}", **ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment, "NITRO_BROKER_URL": broker.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_django_under_gunicorn_emits_what_was_committed_and_its_pages_hear_the_hub(
    broker: Broker, project: Path, browser: Browser
) -> None:
    with Programs(DJANGO.the("sh", "Serving both").source, project, broker.url) as programs:
        hears(browser, programs, between="/fail")
    assert "Traceback" not in programs.output, programs.output


def test_django_under_asgi_has_its_streams_beside_it(broker: Broker, project: Path, browser: Browser) -> None:
    leave_out_tickets(project)
    with Programs(DJANGO.the("sh", "Under ASGI").source, project, broker.url) as programs:
        refused = httpx.get(f"{programs.url}/events", trust_env=False, verify=False)
        assert refused.status_code == 401
        hears(browser, programs, between="/fail")
    assert "Traceback" not in programs.output, programs.output


def leave_out_tickets(project: Path) -> None:
    """As the section says."""
    parts = {
        "todos/views.py": (r"from nitro.tickets .*\n", r"\ntickets = .*\n", r"\n\n@never_cache\n(.*\n)+"),
        "project/urls.py": (r'    path\("ticket".*\n',),
        "todos/templates/todos.html": (r"\n  const ticket = .*\n(    .*\n)+  }\n", r"    headers: .*\n"),
    }
    for name, patterns in parts.items():
        text = (project / name).read_text()
        for pattern in patterns:
            text, times = re.subn(pattern, "", text)
            assert times == 1, pattern
        (project / name).write_text(text)


def test_a_stream_that_comes_after_the_secret_key_was_rotated_logs_nobody_out(broker: Broker, project: Path) -> None:
    script = """
import asyncio
from project.asgi import may_hear
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
user, _ = get_user_model().objects.get_or_create(username="ben")
request = HttpRequest()
request.session = SessionStore()
login(request, user, "django.contrib.auth.backends.ModelBackend")
request.session.save()
settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a new secret of the tests, long enough"
for _ in range(2):
    grant = asyncio.run(may_hear({settings.SESSION_COOKIE_NAME: request.session.session_key}))
    assert grant is not None and grant.user_id == str(user.pk)
assert SessionStore().exists(request.session.session_key)
"""
    django(project, broker, "-c", script)


def test_what_is_emitted_at_the_last_moment_under_asgi_is_in_the_log(broker: Broker, migrated: Path) -> None:
    script = """
import asyncio
import os
from nitro import emit
from project.asgi import app
async def serve():
    async with app.router.lifespan_context(app):
        for number in range(500):
            emit("todo.created", result={"id": number})
    os._exit(0)  # without exit handlers, as uvicorn ends
asyncio.run(serve())
"""
    url = broker.url
    since = run_position(url)
    django(migrated, broker, "-c", script)
    with Command("tail", "todo.created", "--broker", url, "--since", since) as tail:
        assert tail.until_lines(500)[-1]["data"] == {"id": 499}


def test_a_receiver_tells_of_each_save_behind_its_commit(broker: Broker, project: Path) -> None:
    script = """
import django
django.setup()
from django.db import transaction
from nitro import flush
from todos.models import Todo
with transaction.atomic():
    todo = Todo.objects.create(title="Milk")
todo.title = "Bread"
todo.save()
flush()
"""
    url = broker.url
    with Command("tail", "todo.saved", "--broker", url, "--since", run_position(url)) as tail:
        django(project, broker, "-c", script)
        first, second = tail.until_lines(2)
    assert [first["data"]["title"], second["data"]["title"]] == ["Milk", "Bread"]
    assert first["data"]["id"] == second["data"]["id"]


def test_what_is_saved_is_answered_also_if_its_events_are_refused(broker: Broker, project: Path) -> None:
    script = """
import django
django.setup()
from django.http import HttpRequest
from nitro import on
from todos import views
from todos.models import Todo
@on("todo.*", required=True)
def refuse(sender, **_):
    raise ValueError
request = HttpRequest()
request.method, request.POST = "POST", {"title": "Milk"}
assert views.create(request).status_code == 302
assert Todo.objects.get().title == "Milk"
"""
    django(project, broker, "-c", script)


def run_position(url: str) -> str:
    """The end of the log, which exists from the first event on."""
    run("emit", "before", "1", "--broker", url)
    done = run("log", "--broker", url)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["newest"])
