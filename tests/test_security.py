"""Attacks by way of a browser: another site's page, and another name for this host."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page

from tests.apps.keys import BILLING
from tests.documents import Document
from tests.servers import Server, free_port
from tests.sse import Stream

BOTH_WAYS = True
RUNS_BLOCKS = {"docs/how-to/access.md": ["A ticket, for another origin: js"]}

STARLETTE = {"NITRO_RECIPE": "Starlette"}
SECRET = "a secret of the tests, which is long enough"
READ = """(url) => new Promise((resolve) => {
    const source = new EventSource(url, { withCredentials: true });
    source.onmessage = (event) => { source.close(); resolve(event.data); };
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) resolve("refused"); };
})"""
FETCH = """async (url) => {
    try { return (await fetch(url, { method: "POST", credentials: "include" })).status; } catch { return "refused"; }
}"""


@pytest.fixture(scope="module")
def origins() -> Iterator[tuple[Server, Server, Server]]:
    """The stream's server, a page of the origin that it trusts, and a page of one that it doesn't."""
    port = free_port()
    environment = {
        "SECRET": SECRET,
        "ORIGINS": f"http://127.0.0.1:{port}",
        "NITRO_RECIPE": "A ticket, for another origin",
    }
    plain = {"NITRO_RECIPE": "Starlette"}
    with (
        Server("tests.apps.access:app", environment=environment) as streams,
        Server("tests.apps.access:app", environment=plain, port=port) as trusted,
        Server("tests.apps.access:app", environment=plain) as stranger,
    ):
        yield streams, trusted, stranger


@pytest.mark.browser
def test_cors_a_trusted_origin_reads_the_stream_with_its_cookie_and_another_one_reads_nothing(
    origins: tuple[Server, Server, Server], page: Page
) -> None:
    streams, trusted, stranger = origins
    page.context.add_cookies([{"name": "user", "value": "ada", "url": streams.url}])
    page.goto(f"{trusted.url}/test/page")
    ticket = page.evaluate(
        "async (url) => (await fetch(url, { method: 'POST', credentials: 'include' })).json()", f"{streams.url}/tickets"
    )
    query = f"topic=todo.*&ticket={ticket}"
    page.evaluate(f"(url) => {{ window.reading = ({READ})(url); }}", f"{streams.url}/events?{query}")
    until_clients(streams, 1)
    streams.post("/test/emit?topic=todo.a&result=hello")
    assert page.evaluate("reading") == '"hello"'
    assert page.evaluate(READ, f"{streams.url}/events?ticket=wrong") == "refused"

    page.goto(f"{stranger.url}/test/page")
    assert page.evaluate(FETCH, f"{streams.url}/tickets") == "refused", "the answer can't be read"
    assert page.evaluate(READ, f"{streams.url}/events?{query}") == "refused"


@pytest.mark.browser
def test_the_script_of_the_ticket_recipe_reads_the_stream_and_gets_a_new_ticket_for_one_that_is_refused(
    origins: tuple[Server, Server, Server], page: Page
) -> None:
    streams, trusted, _ = origins
    script = Document("docs/how-to/access.md").the("js", "A ticket, for another origin").source
    until_clients(streams, 0)
    page.context.add_cookies([{"name": "user", "value": "ada", "url": streams.url}])
    page.goto(f"{trusted.url}/test/page")
    page.evaluate(
        f"""(url) => {{
            window.server = url; window.heard = []; window.show = (data) => heard.push(data);
            const Native = EventSource; window.asked = 0;
            window.EventSource = class extends Native {{ // the first ticket is spoilt on its way
                constructor(url) {{ super(asked++ ? url : url.replace("ticket=", "ticket=x")); }}
            }};
            {script}; open();
        }}""",
        streams.url,
    )
    until_clients(streams, 1)
    streams.post("/test/emit?topic=todo.a&result=hello")
    page.wait_for_function("heard.length > 0")
    assert page.evaluate("[heard, asked]") == [["hello"], 2]


def until_clients(server: Server, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(server.get("/test/clients").json()) != count:
        assert time.monotonic() < deadline, f"there are not {count} clients"
        time.sleep(0.01)


@pytest.mark.browser
def test_csrf_a_form_on_another_site_publishes_nothing_whatever_cookies_come_with_it(page: Page) -> None:
    with Server("tests.apps.publisher:app") as server, Server("tests.apps.access:app", environment=STARLETTE) as evil:
        page.context.add_cookies([{"name": "authorization", "value": f"Bearer {BILLING}"[:20], "url": server.url}])
        before = server.get("/position").json()
        page.goto(f"{evil.url}/test/page")
        with page.expect_navigation():
            page.evaluate(
                """(url) => {
                    const form = document.createElement("form");
                    form.method = "POST"; form.action = url; form.enctype = "text/plain";
                    const field = document.createElement("input");
                    field.name = '{"topic":"todo.a","result":1,"x":"'; field.value = '"}';
                    form.append(field); document.body.append(form); form.submit();
                }""",
                f"{server.url}/publish/",
            )
        assert '"status":401' in page.content()
        assert page.evaluate("fetch(location.href, {method: 'POST'}).then((answer) => answer.status)") == 401
        page.goto(f"{evil.url}/test/page")
        ask = "(url) => fetch(url, { method: 'POST', headers: { authorization: 'x' } }).catch(() => 'refused')"
        assert page.evaluate(ask, f"{server.url}/publish/") == "refused", "the preflight is not answered"
        assert server.get("/position").json() == before


def test_dns_rebinding_a_host_by_another_name_is_refused() -> None:
    with Server("tests.apps.access:app", environment=STARLETTE) as server:
        for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", ""):
            headers = {"Host": host, "Cookie": "user=ada"}
            assert httpx.get(f"{server.url}/events", headers=headers, trust_env=False, verify=False).status_code == 400
        with Stream(server.port, "/events", "Cookie: user=ada\r\n") as stream:
            stream.read_until(b"id: ")


def test_dns_rebinding_the_examples_answer_to_this_machines_names_alone() -> None:
    with Server("examples.todo:app", runner="examples.serve", options=()) as server:
        assert server.get("/").status_code == 200
        for path in ("/", "/todos/live", "/todos"):
            answer = httpx.get(f"{server.url}{path}", headers={"Host": "evil.example"}, trust_env=False, verify=False)
            assert answer.status_code == 400
