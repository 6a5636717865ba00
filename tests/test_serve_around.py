"""What a hub has around its streams: the publisher, other origins, metrics, health and workers that share a log."""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.commands import run
from tests.hubs import BILLING, KEY, SECRET, ask, hub, opened, problem_of, publish, ticket, token
from tests.metrics import scrape
from tests.servers import Server, free_port, wait_for
from tests.sse import Stream

ORIGIN = "https://app.example.org"
TEXT = f"""
metrics = true

[stream]
origins = ["{ORIGIN}", "http://127.0.0.1:%d"]

[ticket]
secret = "{SECRET}"

[jwt]
algorithms = ["HS256"]
secret = "{KEY}"

[publish.keys.billing]
secret = "{BILLING}"
topics = ["order.*", "todo.*"]
"""
PAGE = free_port()
"""Of the application, whose origin is another one than the hub's."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with hub(tmp_path_factory.mktemp("hub"), TEXT % PAGE) as started:
        yield started
    assert "Traceback" not in started.output, started.output


# --- the publisher


def test_what_is_published_is_heard_with_and_without_a_slash(server: Server) -> None:
    with opened(server, f"ticket={ticket('order.*')}") as stream:
        for n, path in enumerate(("/publish", "/publish/")):
            body = {"topic": "order.placed", "result": n}
            answer = server.post(path, json=body, headers={"Authorization": f"Bearer {BILLING}"})
            assert (answer.status_code, answer.json()) == (200, {"published": True})
        again = [publish(server, "order.placed", 2, **{"Idempotency-Key": "order-2"}) for _ in range(2)]
        assert [answer.headers.get("idempotency-replayed") for answer in again] == [None, "true"]
        assert publish(server, "order.end", 3).json() == {"published": True}
        assert stream.events(4) == [0, 1, 2, 3]


def test_who_may_not_publish_is_told_so(server: Server) -> None:
    problem_of(publish(server, "order.placed", 1, key="a key that is not known"), 401)
    problem_of(publish(server, "order.placed", 1, key=ticket("order.*")), 401)
    problem_of(publish(server, "order.placed", 1, key=token()), 401)
    problem_of(publish(server, "user.mail", 1), 403)
    assert server.get("/publish").status_code == 405


# --- other origins


def preflight(server: Server, origin: str, *headers: str, method: str = "GET") -> httpx.Response:
    return httpx.options(
        f"{server.url}/events",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(headers),
        },
        trust_env=False,
        verify=False,
    )


def test_a_named_origin_may_ask_with_what_the_browser_client_sends_and_no_other_may(server: Server) -> None:
    asked = preflight(server, ORIGIN, "authorization", "last-event-id", "nitro-topics-1", "nitro-topics-9")
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in asked.headers
    assert preflight(server, ORIGIN, "x-other").status_code == 400
    assert preflight(server, ORIGIN, method="POST").status_code == 400
    for stranger in ("https://app.example.org.evil.example", "null", "http://app.example.org", f"{ORIGIN}:444"):
        answer = preflight(server, stranger, "authorization")
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers


def test_a_stream_and_each_refusal_can_be_read_by_pages_of_that_origin_alone(server: Server) -> None:
    with Stream(server.port, f"/events?ticket={ticket('todo.*')}", f"Origin: {ORIGIN}\r\n") as stream:
        assert f"access-control-allow-origin: {ORIGIN}\r\n" in f"{stream.read_head().head}\r\n"
    for query, status in (("", 401), ("token=x", 401), (f"ticket={ticket('todo.*')}&topic=*", 403), ("topic=", 401)):
        refusal = ask(server, query, Origin=ORIGIN)
        problem_of(refusal, status)
        assert refusal.headers["access-control-allow-origin"] == ORIGIN
        assert "Retry-After" in refusal.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in ask(server, query, Origin="https://evil.example").headers
    client = httpx.get(f"{server.url}/nitro/client.js", headers={"Origin": ORIGIN}, trust_env=False, verify=False)
    assert (client.status_code, client.headers["access-control-allow-origin"]) == (200, ORIGIN)


def test_cookies_are_let_through_where_that_is_configured_and_without_origins_nobody_is(tmp_path: Path) -> None:
    text = f'[stream]\norigins = ["{ORIGIN}"]\ncookies = true\n[ticket]\nsecret = "{SECRET}"'
    with hub(tmp_path, text) as server:
        assert preflight(server, ORIGIN).headers["access-control-allow-credentials"] == "true"
        assert ask(server, Origin=ORIGIN).headers["access-control-allow-credentials"] == "true"
    with hub(tmp_path, f'[ticket]\nsecret = "{SECRET}"') as server:
        assert preflight(server, ORIGIN).status_code == 405
        assert "access-control-allow-origin" not in ask(server, Origin=ORIGIN).headers


# --- the inspector

PASSWORD = "a-password-to-look"


def test_the_inspector_of_a_hub_asks_for_its_password(tmp_path: Path) -> None:
    text = f'{TEXT % PAGE}\n[inspector]\npassword = "{PASSWORD}"\nactions = false\n'
    with hub(tmp_path, text) as server, opened(server, f"ticket={ticket('todo.*', user_id='ann')}"):
        page = server.url + "/nitro-inspector"
        for auth in (None, ("ada", "another-password"), ("ada", "")):
            refused = httpx.get(f"{page}/", auth=auth)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic realm=")
        answer = httpx.get(page, auth=("ada", PASSWORD), follow_redirects=True)
        assert "<title>Nitro inspector</title>" in answer.text
        other = httpx.get(f"{page}/", auth=("ada", PASSWORD), headers={"Origin": ORIGIN})
        assert other.status_code == 403, "pages of other origins may read the stream alone"
        assert "access-control-allow-origin" not in other.headers
        basic = base64.b64encode(f":{PASSWORD}".encode()).decode()
        with Stream(server.port, "/nitro-inspector/events", f"Authorization: Basic {basic}\r\n") as stream:
            stream.read_until(b'"user":"ann"')
            stream.read_until(b'"actions":false')
        headers = {"x-nitro-inspector": "1", "Authorization": f"Basic {basic}"}
        assert httpx.post(f"{page}/emit", json={"topic": "a", "payload": 1}, headers=headers).status_code == 403
        assert PASSWORD not in server.output


def test_without_a_password_there_is_no_inspector(server: Server) -> None:
    assert httpx.get(f"{server.url}/nitro-inspector/", auth=("ada", PASSWORD)).status_code == 404


# --- metrics and health


def test_metrics_and_health_answer(server: Server) -> None:
    with opened(server, f"ticket={ticket('todo.*')}"):
        for path in ("/metrics", "/metrics/"):
            assert "nitro_clients 1.0" in server.get(path).text
    assert [server.get(path).json() for path in ("/live", "/ready")] == [{"status": "live"}, {"status": "ready"}]


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    with hub(tmp_path, TEXT % PAGE, NITRO_MAX_CLIENTS_PER_USER="1") as server:
        seven = f"ticket={ticket('todo.*', user_id=7)}"  # newer than the hub, else an order may have ended its streams
        with opened(server, seven):
            refused = ask(server, seven, Origin=ORIGIN)
            problem_of(refused, 429)
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.headers["access-control-allow-origin"] == ORIGIN
            opened(server, f"ticket={ticket('todo.*', user_id=8)}").socket.close()


# --- workers that share a log


def on_each_worker(server: Server, stack: ExitStack, query: str, workers: int) -> list[Stream]:
    """A stream at each of them: one that has a stream is stopped while the next one is opened."""
    streams: list[Stream] = []
    stopped: list[int] = []
    wait_for(lambda: len(server.workers()) == workers, seconds=20)
    try:
        for n in range(workers):
            streams.append(stack.enter_context(opened(server, query)))
            if n + 1 < workers:
                taken = next(pid for pid in server.workers() if pid not in stopped and has_connection(pid))
                stopped.append(taken)
                os.kill(taken, signal.SIGSTOP)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    return streams


def has_connection(pid: int) -> bool:
    """Whether the process has a socket that is established to somebody."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if link.exists() or link.is_symlink():
            sockets |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return any(row[3] == "01" and row[9] in sockets for row in rows)


def test_workers_share_a_log_and_answer_as_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"NITRO_BROKER_URL": url, "TMPDIR": str(temporary)}
    with hub(tmp_path, TEXT % PAGE, "--workers", "2", **environment) as server, ExitStack() as stack:
        wait_for(lambda: server.output.count("Application startup complete") == 2, seconds=20)
        streams = on_each_worker(server, stack, f"token={token()}", 2)
        assert publish(server, "todo.a", "by one of the workers").json() == {"published": True}
        assert run("emit", "todo.b", '"by another process"', "--broker", url).returncode == 0
        for stream in streams:
            assert stream.events(2) == ["by one of the workers", "by another process"]
        wait_for(lambda: scrape(server)("clients") == 2, seconds=15)
        server.end()
        for stream in streams:
            stream.read_to_end()
    assert server.output.count("nitro: streams at") == 1
    assert "Traceback" not in server.output, server.output
    assert list(temporary.glob("nitro-metrics-*")) == [], "the folder of the metrics is gone with the hub"


# --- a browser


@pytest.mark.browser
def test_a_page_of_another_origin_hears_the_hub(server: Server, page: Page) -> None:
    with Server("tests.apps.redirects:app", port=PAGE) as application:
        page.goto(f"{application.url}/openapi.json")
        page.evaluate(
            """async ([hub, token, ticket]) => {
                const { connect } = await import(hub + "/nitro/client.js");
                window.heard = [];
                const open = (token) => connect(hub + "/events", {
                    topics: ["todo.*"],
                    headers: () => ({ Authorization: "Bearer " + token }),
                    share: false,
                });
                window.live = open(token); window.refused = open("x");
                live.on("todo.*", (data, { topic }) => heard.push([topic, data]));
                window.native = new EventSource(hub + "/events?ticket=" + ticket);
                native.onmessage = (event) => heard.push(["native", JSON.parse(event.data)]);
            }""",
            [server.url, token(), ticket("todo.*")],
        )
        page.wait_for_function("live.state === 'open' && native.readyState === EventSource.OPEN")
        page.wait_for_function("refused.state === 'closed'")
        assert publish(server, "todo.created", {"title": "Milk"}).json() == {"published": True}
        page.wait_for_function("heard.length === 2")
        assert sorted(page.evaluate("heard")) == [["native", {"title": "Milk"}], ["todo.created", {"title": "Milk"}]]
        page.evaluate("live.close(); native.close()")


def test_a_hub_whose_broker_is_away_starts_is_not_ready_and_tells_no_password(tmp_path: Path) -> None:
    port = free_port()
    with hub(tmp_path, TEXT % PAGE, NITRO_BROKER_URL=f"redis://ann:hidden@127.0.0.1:{port}/0") as server:
        wait_for(lambda: server.get("/ready").status_code == 503, seconds=10)
        assert server.get("/live").status_code == 200
        assert f"log redis://127.0.0.1:{port}/0, namespace nitro" in server.output
    assert "hidden" not in server.output
