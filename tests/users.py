"""What tests of users ask of `tests/apps/users.py`, and of its pages, in any browser."""

from __future__ import annotations

from typing import Any

from nitro.testing.conformance import eventually
from tests.servers import Server
from tests.tabs import Evaluates, wait_for

APP = "tests.apps.users:app"
CONNECT = """async ([url, options, token, kind]) => {
  const { connect } = await import("/nitro/client.js");
  const own = { heard: [], gaps: [], states: [], calls: 0, token };
  const kinds = {
    text: () => ({ Authorization: `Bearer ${own.token}` }),
    object: () => new Headers({ Authorization: `Bearer ${own.token}` }),
    rejects: () => Promise.reject(new Error("no token")),
    never: () => new Promise(() => {}),
    rotates: async () => {
      const answer = await fetch(`/refresh?ticket=${localStorage.ticket ?? 0}`, { method: "POST" });
      localStorage.ticket = await answer.json();
      return { Authorization: `Bearer token ${localStorage.ticket}` };
    },
  };
  own.kind = kind;
  if (kind) options.headers = () => { own.calls++; return kinds[own.kind](); };
  const began = performance.now();
  const live = connect(url, options);
  (window.all ??= []).push(live);
  Object.assign(own, { live });
  live.onstate = (state, error) => {
    own.states.push([state, error?.status ?? null]);
    if (state === "open") own.openAfter ??= performance.now() - began;
  };
  live.on("*", (data) => own.heard.push(data));
  live.on("gap", (gap) => own.gaps.push(gap.reason));
  window.before = window.own;
  Object.assign(window, { own, live });
}"""
"""`own` is what the page's newest connection has; `before` what the one before it has."""


def reset(server: Server) -> Server:
    """It refuses nothing, and has no clients."""
    server.post("/reset")
    server.post("/drop")
    eventually(lambda: not clients(server), "those of the test before are gone")
    return server


def clients(server: Server) -> int:
    return int(server.get("/state").json()["clients"])


def asked(server: Server, kind: str = "stream") -> list[dict[str, str]]:
    return [request for request in server.get("/state").json()["asked"] if request["kind"] == kind]


def emit(server: Server, *events: tuple[str, object]) -> str:
    return str(server.post("/emit", json=events).json()["position"])


def tell(server: Server, user: str, data: object) -> None:
    emit(server, (f"user.{user}.x", data))


def heard(tab: Evaluates) -> list[Any]:
    found = tab.evaluate("own.heard")
    assert isinstance(found, list)
    return found


def hears(tab: Evaluates, *expected: object) -> None:
    """Nothing else, and in that order."""
    wait_for(tab, f"own.heard.length >= {len(expected)}", 5)
    assert heard(tab) == list(expected)


def says_that_somebody_else_has_logged_in(tab: Evaluates, own: str = "own") -> None:
    wait_for(tab, f"{own}.live.state === 'closed'", 5)
    status, message = tab.evaluate(f"[{own}.live.error.status, {own}.live.error.message]")
    assert status == 419
    assert "Another user has logged in" in message
