"""`nitro serve`, a hub of its own: who hears what, by ticket and by token, and what is refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.hubs import (
    BILLING,
    HOUR,
    KEY,
    SECRET,
    ask,
    ec_key,
    hub,
    jwk,
    opened,
    problem_of,
    public_pem,
    publish,
    rsa_key,
    signed_by_hand,
    ticket,
    token,
)
from tests.servers import Server, wait_for

BOTH = f"""
[stream]
public = ["news.*"]

[ticket]
secret = "{SECRET}"

[jwt]
algorithms = ["HS256"]
secret = "{KEY}"

[publish.keys.billing]
secret = "{BILLING}"
topics = ["*"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with hub(tmp_path_factory.mktemp("hub"), BOTH) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def hears(server: Server, query: str = "", headers: str = "", *, of: tuple[str, ...]) -> list[Any]:
    """Which of these topics such a request hears; each is published with its name."""
    with opened(server, query, headers) as stream:
        for topic in (*of, "news.end"):
            assert publish(server, topic, topic).json() == {"published": True}
        stream.read_until(b'"news.end"')
        return list(stream.data()[:-1])


def test_a_ticket_opens_a_stream_for_what_it_allows_and_for_what_is_public(server: Server) -> None:
    shown = ticket("todo.*", "user.7.*", denied=["todo.secret"], user_id=7)
    topics = ("todo.a", "todo.secret", "user.7.mail", "user.8.mail", "news.a")
    assert hears(server, f"ticket={shown}", of=topics) == ["todo.a", "user.7.mail", "news.a"]
    assert hears(server, f"ticket={shown}&topic=todo.*&topic=news.end", of=topics) == ["todo.a"]
    bearer = f"Authorization: Bearer {shown}\r\n"
    assert hears(server, headers=bearer, of=topics) == ["todo.a", "user.7.mail", "news.a"]
    assert "not allowed" in problem_of(ask(server, f"ticket={shown}&topic=user.*"), 403)


def test_a_token_opens_a_stream_in_the_header_and_in_the_query(server: Server) -> None:
    shown = token(topics=["todo.*", "user.ann.*"], denied=["todo.secret"])
    topics = ("todo.a", "todo.secret", "user.ann.mail", "user.bob.mail", "news.a")
    wanted = ["todo.a", "user.ann.mail", "news.a"]
    assert hears(server, headers=f"Authorization: Bearer {shown}\r\n", of=topics) == wanted
    assert hears(server, headers=f"Authorization: bearer  {shown}\r\n", of=topics) == wanted
    assert hears(server, f"token={shown}", of=topics) == wanted
    assert "not allowed" in problem_of(ask(server, f"token={shown}&topic=user.*"), 403)


def test_nothing_that_is_signed_as_one_kind_is_taken_for_the_other(tmp_path: Path) -> None:
    """Also with one secret for both."""
    text = BOTH.replace(KEY, SECRET)
    with hub(tmp_path, text) as server:
        opened(server, f"ticket={ticket('todo.*')}").socket.close()
        opened(server, f"token={token(SECRET)}").socket.close()
        problem_of(ask(server, f"token={ticket('todo.*')}"), 401)
        problem_of(ask(server, f"ticket={token(SECRET)}"), 401)
        for wrong in (ticket("todo.*", secret=KEY), token(KEY), ""):
            problem_of(ask(server, Authorization=f"Bearer {wrong}".strip()), 401)


def test_without_anything_only_what_is_public_is_heard(server: Server) -> None:
    assert hears(server, of=("todo.a", "news.a")) == ["news.a"]
    assert "not allowed" in problem_of(ask(server, "topic=todo.*"), 403)
    assert problem_of(ask(server, "topic=a..b"), 422)


def test_where_nothing_is_public_a_stranger_is_asked_for_what_the_hub_takes(tmp_path: Path) -> None:
    with hub(tmp_path, f'[ticket]\nsecret = "{SECRET}"') as server:
        assert problem_of(ask(server), 401) == "show a ticket: this request is not authenticated"
        assert "tokens are not taken here" in problem_of(ask(server, f"token={token()}"), 401)
        assert "the ticket has expired" in problem_of(ask(server, Authorization=f"Bearer {token()}"), 401)
        opened(server, headers=f"Authorization: Bearer {ticket('todo.*')}\r\n").socket.close()
        assert server.post("/publish", json={}).status_code == 404
        assert server.get("/metrics").status_code == 404
        assert "nobody over HTTP" in server.output


NOW = int(time.time())
BAD_TOKENS = {
    "expired": (token(exp=NOW - 10), "the token has expired"),
    "without an end": (token(exp=None), "the token needs the claims exp and sub, and has not both"),
    "without a user": (token(sub=None), "the token needs the claims exp and sub, and has not both"),
    "of a number": (token(sub=7), "the claim sub of the token is no text; a number is sent as one"),
    "without an end, of another secret": (token("another key, which is long enough too", exp=None), "is not valid"),
    "for another audience": (token(aud="another"), "the token is for another audience"),
    "not yet": (token(nbf=NOW + HOUR), "the token is not valid yet"),
    "of another secret": (token("another key, which is long enough too"), "the token is not valid"),
    "of another algorithm": (token(KEY * 2, "HS512"), "the token is not valid"),
    "unsigned": (
        signed_by_hand(b"", {"alg": "none"}, {"sub": "ann", "exp": NOW + HOUR, "topics": ["*"]}),
        "the token is not valid",
    ),
    "no token": ("x.y.z", "the token is not valid"),
    "empty": ("", "the token is not valid"),
    "not ASCII": ("%C3%A9.%ED%A0%80.x", "the token is not valid"),
    "too long": (token(more="x" * 9000), "the token is not valid"),
    "with an end without end": (
        signed_by_hand(KEY.encode(), {"alg": "HS256"}, {"sub": "ann", "exp": float("inf"), "topics": ["*"]}),
        "the token is not valid",
    ),
    "with an end beyond all numbers": (token(exp=10**400), "the token is not valid"),
    "with a list for its end": (
        signed_by_hand(KEY.encode(), {"alg": "HS256"}, {"sub": "ann", "exp": [NOW + HOUR], "topics": ["*"]}),
        "the token is not valid",
    ),
    "of nobody": (token(sub=""), "the token is signed, and says what it can't: user_id"),
    "of no text": (token(sub="\ud800"), "the token is signed, and says what it can't: user_id"),
    "in milliseconds": (token(exp=(NOW + HOUR) * 1000), "seconds since 1970"),
    "with a text for topics": (token(topics="*"), "the claim 'topics' of the token is no list of topics"),
    "with numbers for topics": (token(topics=[7]), "the claim 'topics' of the token is no list of topics"),
    "with a text for what is denied": (token(denied="*"), "the claim 'denied' of the token is no list of topics"),
    "with a wrong topic": (token(topics=["a..b"]), "the token is signed, and says what it can't: "),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_not_valid_opens_nothing_not_even_what_is_public(name: str, server: Server) -> None:
    shown, said = BAD_TOKENS[name]
    assert said in problem_of(ask(server, f"token={shown}&topic=news.*"), 401)


def test_a_token_without_topics_allows_nothing(server: Server) -> None:
    topics: list[str] | None
    for topics in (None, []):
        assert "allows no topic" in problem_of(ask(server, f"token={token(topics=topics)}"), 403)


def test_a_ticket_that_is_not_valid_opens_nothing_not_even_what_is_public(server: Server) -> None:
    good = ticket("todo.*")
    for shown in ("", "x", good[:-1], ticket("todo.*", secret="another secret, which is long enough")):
        assert "the ticket has expired or is not valid" in problem_of(ask(server, f"ticket={shown}&topic=news.*"), 401)
    over = ticket("todo.*", expires_at=NOW - 10)
    assert "expired" in problem_of(ask(server, f"ticket={over}"), 401)


def test_a_stream_ends_when_its_token_does(server: Server) -> None:
    with opened(server, f"token={token(exp=int(time.time()) + 3)}") as stream:
        began = time.monotonic()
        stream.read_to_end()
        assert time.monotonic() - began < 5


def test_neither_tokens_nor_tickets_are_in_the_access_log(server: Server) -> None:
    shown, other = token(jti="secret"), ticket("todo.*")
    with opened(server, f"topic=todo.here&token={shown}"), opened(server, f"ticket={other}&topic=todo.there"):
        pass
    ask(server, "token=wrong-token&topic=todo.nowhere")
    with opened(server, f"topic=todo.where&%74oken={shown}"):
        pass
    server.get("/live?token=wrong-token&a=b")
    wait_for(lambda: "/live" in server.output)
    for path in ("topic=todo.here", "topic=todo.there", "topic=todo.nowhere", "topic=todo.where", "/live?a=b"):
        assert f'{path} HTTP/1.1"' in server.output, path
    for secret in (shown, other, "wrong-token", SECRET, KEY, BILLING):
        assert secret not in server.output


def test_what_uvicorn_answers_by_itself_is_logged_without_a_token(tmp_path: Path) -> None:
    with hub(tmp_path, f'[ticket]\nsecret = "{SECRET}"', "--limit-concurrency", "1") as server:
        assert ask(server, "topic=a&token=wrong-token&ticket=wrong-ticket").status_code == 503
        wait_for(lambda: "503" in server.output)
    assert "topic=a&token=...&ticket=... HTTP" in server.output


def test_a_token_of_an_issuer_whose_clock_is_ahead_is_taken(server: Server) -> None:
    assert hears(server, f"token={token(iat=NOW + 30)}", of=("todo.a",)) == ["todo.a"]


def test_the_claims_and_the_leeway_are_those_that_are_configured(tmp_path: Path) -> None:
    text = f"""
[jwt]
algorithms = ["HS256"]
secret = "{KEY}"
audience = "hub"
issuer = "https://login.example.org"
leeway_seconds = 60
topics_claim = "hear"
denied_claim = "not"

[publish.keys.billing]
secret = ["{BILLING}", "the next key of billing, long enough"]
topics = {{ "todo.*" = ["billing"] }}
"""
    right: dict[str, Any] = {"aud": "hub", "iss": "https://login.example.org", "topics": None, "hear": ["todo.*"]}
    with hub(tmp_path, text) as server:
        denied: Any = {"not": ["todo.secret"]}
        just_over = token(**right, **denied, exp=int(time.time()) - 2)
        with opened(server, f"token={just_over}") as stream:
            for key in (BILLING, "the next key of billing, long enough"):
                for topic in ("todo.secret", "todo.a"):
                    body = {"topic": topic, "result": topic, "sender": "billing"}
                    answer = server.post("/publish/", json=body, headers={"Authorization": f"Bearer {key}"})
                    assert answer.json() == {"published": True}
            assert stream.events(2) == ["todo.a", "todo.a"]
        assert problem_of(publish(server, "todo.a", 1), 403), "another sender"
        assert "audience" in problem_of(ask(server, f"token={token(**{**right, 'aud': 'other'})}"), 401)
        assert problem_of(ask(server, f"token={token(**{**right, 'aud': None})}"), 401)
        assert "issuer" in problem_of(ask(server, f"token={token(**{**right, 'iss': 'other'})}"), 401)
        assert "expired" in problem_of(ask(server, f"token={token(**right, exp=int(time.time()) - 70)}"), 401)


def test_a_public_key_checks_tokens_and_is_no_secret_for_others(tmp_path: Path) -> None:
    """The classic confusion: a token that is signed by HMAC, with the text of the public key as its secret."""
    key = rsa_key()
    pem = public_pem(key.public_key())
    (tmp_path / "key.pem").write_bytes(pem)
    claims = {"sub": "ann", "topics": ["*"], "exp": NOW + HOUR}
    with hub(tmp_path, '[jwt]\nalgorithms = ["RS256"]\npublic_key_file = "key.pem"') as server:
        opened(server, f"token={token(key, 'RS256')}").socket.close()
        for secret in (pem, pem.rstrip(), pem.replace(b"\n", b"\r\n")):
            forged = signed_by_hand(secret, {"alg": "HS256", "typ": "JWT"}, claims)
            assert problem_of(ask(server, f"token={forged}"), 401) == "the token is not valid"
        for wrong in (token(rsa_key(), "RS256"), token(key, "RS512"), token(key, "PS256"), token(ec_key(), "ES256")):
            assert problem_of(ask(server, f"token={wrong}"), 401) == "the token is not valid"
        embedded = signed_by_hand(b"x" * 32, {"alg": "HS256", "jwk": {"kty": "oct", "k": "eHg"}}, claims)
        assert problem_of(ask(server, f"token={embedded}"), 401) == "the token is not valid"


@pytest.fixture(scope="module")
def signers() -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]:
    return rsa_key(), rsa_key(), ec_key()


def test_a_key_of_a_set_is_chosen_by_its_id_and_checks_its_own_algorithm(
    signers: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey], tmp_path: Path
) -> None:
    one, two, three = signers
    keys = [
        jwk(one.public_key(), "RS256", kid="one", use="sig"),
        jwk(two.public_key(), "RS256", kid="two", alg="PS256"),
        jwk(three.public_key(), "ES256", kid="three"),
        jwk(two.public_key(), "RS256", kid="of encryption", use="enc"),
        {"kty": "new", "kid": "of a kind that is not known"},
    ]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
    text = '[jwt]\nalgorithms = ["RS256", "PS256", "ES256"]\njwks_file = "keys.json"'
    with hub(tmp_path, text) as server:
        for key, algorithm, kid in ((one, "RS256", "one"), (two, "PS256", "two"), (three, "ES256", "three")):
            opened(server, f"token={token(key, algorithm, kid=kid)}").socket.close()
        for key, algorithm, wrong in (
            (one, "RS256", "two"),
            (one, "RS256", "three"),
            (one, "RS256", "four"),
            (one, "RS256", None),
            (two, "RS256", "two"),
            (two, "RS256", "of encryption"),
            (three, "ES256", "one"),
        ):
            answer = ask(server, f"token={token(key, algorithm, kid=wrong)}")
            assert problem_of(answer, 401) == "the token is not valid", (algorithm, wrong)
        claims = {"sub": "ann", "topics": ["*"], "exp": NOW + HOUR}
        forged = signed_by_hand(public_pem(one.public_key()), {"alg": "HS256", "kid": "one"}, claims)
        assert problem_of(ask(server, f"token={forged}"), 401) == "the token is not valid"


def test_it_says_at_its_start_what_it_serves_and_no_secret(tmp_path: Path) -> None:
    log = f"sqlite:///{tmp_path}/events.db"
    text = "metrics = true\n" + BOTH.replace("[stream]", '[stream]\norigins = ["https://a.example"]')
    more = {"NITRO_NAMESPACE": "shop", "NITRO_SERVE_TICKET_SECONDS": "30"}
    with hub(tmp_path, text, NITRO_BROKER_URL=log, **more) as server:
        wait_for(lambda: "Application startup complete" in server.output)
    said = re.findall(r"^nitro: (.*)$", server.output, re.MULTILINE)
    assert said == [
        "streams at /events by tickets, tokens (HS256), anybody (news.*), also for pages of https://a.example",
        f"published by billing at /publish; log {log}, namespace shop; metrics at /metrics",
    ]
    for secret in (SECRET, KEY, BILLING):
        assert secret not in server.output
    assert "is no setting" not in server.output, "the hub's variables are not those of the settings"
