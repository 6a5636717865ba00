"""The hub's configuration: what is wrong is told before a socket is opened, with its place and its remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nitro.cli.serve import _summary
from nitro.errors import ConfigurationError
from nitro.serve.sources import line_of, read_configuration
from nitro.settings import Settings
from tests.cases import shown
from tests.commands import run
from tests.deploying import service_links_of
from tests.hubs import BILLING, KEY, SECRET, ec_key, jwk, private_pem, public_pem, rsa_key

TICKET = f'[ticket]\nsecret = "{SECRET}"\n'
"""Two lines that are right."""
JWT = '[jwt]\nalgorithms = ["RS256"]\n'

WRONG: Mapping[str, tuple[str, str]] = {
    "nobody is let in": ("metrics = true", ": nobody may hear anything yet. Write [ticket]"),
    "no TOML": ("metrics = true\n[ticket", ", line 2: Expected"),
    "no TOML at the end": ('[ticket]\nsecret = "x', ", line 2: "),
    "an unknown key": (TICKET + "second = 5", ", line 3: ticket.second: there is no such key; is seconds meant?"),
    "an unknown table": (
        TICKET + "\n[streams]\npath = '/x'",
        ", line 4: streams: there is no such key; is stream meant?",
    ),
    "an unknown key of a publisher": (
        TICKET + f'[publish.keys.x]\nsecret = "{BILLING}"\ntopics = ["*"]\nowner = "x"',
        ", line 6: publish.keys.x.owner: there is no such key; known are secret, topics",
    ),
    "no boolean": (TICKET + "[stream]\ncookies = 'maybe'", ", line 4: stream.cookies: Input should be a valid boolean"),
    "a short ticket secret": (
        '[ticket]\n# here\nsecret = "short"',
        ", line 3: ticket.secret: a secret has 16 characters",
    ),
    "behind what other formats take for line ends": (
        TICKET + "# a comment with \u2028 and \x85\nsecond = 5",
        ", line 4: ticket.second: there is no such key",
    ),
    "a short password": (
        TICKET + '[inspector]\npassword = "letmein"',
        ", line 4: inspector.password: it has fewer than 16 characters",
    ),
    "no password": (TICKET + "[inspector]\npayloads = true", ", line 3: inspector.password: it is missing; write pass"),
    "no ticket secret": ("\n[ticket]\nseconds = 5", ", line 2: ticket.secret: it is missing; write secret ="),
    "a ticket for a day": (TICKET + "seconds = 86400", ", line 3: ticket.seconds: seconds is a whole number from 1 to"),
    "a ticket's audience": (TICKET + 'audience = ""', ", line 3: ticket.audience: audience is a name such as 'chat'"),
    "no algorithms": (f'[jwt]\nsecret = "{KEY}"', ", line 1: jwt.algorithms: it is missing; write whose signatures"),
    "the algorithm none": (
        f'[jwt]\nalgorithms = [\n  "HS256",\n  "none",\n]\nsecret = "{KEY}"',
        ', line 2: jwt.algorithms: "none" is no signature',
    ),
    "the algorithm NONE": (f'[jwt]\nalgorithms = ["NONE"]\nsecret = "{KEY}"', ', line 2: jwt.algorithms: "none" is no'),
    "an unknown algorithm": ('[jwt]\nalgorithms = ["RS257"]', ", line 2: jwt.algorithms: 'RS257' is no algorithm"),
    "an empty list of algorithms": ("[jwt]\nalgorithms = []", ", line 2: jwt.algorithms: "),
    "a short secret": (
        '[jwt]\nalgorithms = ["HS256"]\nsecret = "0123456789"',
        ", line 3: jwt.secret: it has 10 bytes, and",
    ),
    "a secret too short for HS512": (
        f'[jwt]\nalgorithms = ["HS256", "HS512"]\nsecret = "{KEY}"',
        ", line 3: jwt.secret: it has 40 bytes, and HS256/HS512 needs 64; make one with secrets.token_urlsafe(64)",
    ),
    "RS256 with a secret": (
        JWT + f'secret = "{KEY}"',
        ", line 3: jwt.secret: RS256 is checked by a public key; write pu",
    ),
    "a public key for a secret": (
        '[jwt]\nalgorithms = ["HS256"]\nsecret = """\n-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"""',
        ", line 3: jwt.secret: it is a public key, which is no secret",
    ),
    "a key for its path": (
        JWT + 'public_key_file = """-----BEGIN PRIVATE KEY-----\nMIGHsecret"""',
        ", line 3: jwt.public_key_file: it is no path; write the path of the file that holds the key",
    ),
    "a set of keys for its path": (JWT + 'jwks_file = \'{"keys": ["secret"]}\'', "it is no path; write the path of"),
    "no key at all": (JWT, ", line 1: jwt: a signature is checked by one of secret (HS256), public_key_file"),
    "two keys": (
        JWT + 'public_key_file = "rsa.pem"\njwks_file = "keys.json"',
        ", line 1: jwt: a signature is checked by",
    ),
    "a file that is missing": (JWT + 'public_key_file = "no.pem"', "/no.pem can't be read: No such file"),
    "a folder": (JWT + 'jwks_file = "."', "can't be read: Is a directory"),
    "a file that is no key": (JWT + 'public_key_file = "hub.toml"', "/hub.toml holds no public key in PEM"),
    "a broken key": (JWT + 'public_key_file = "broken.pem"', "/broken.pem holds no public key in PEM"),
    "a private key": (
        JWT + 'public_key_file = "private.pem"',
        "/private.pem holds a private key, which the hub must no",
    ),
    "a short RSA key": (JWT + 'public_key_file = "short.pem"', "/short.pem has an RSA key of 1024 bits, which can be"),
    "an algorithm of another key": (
        JWT.replace("RS256", "ES256") + 'public_key_file = "rsa.pem"',
        ", line 3: jwt.public_key_file: ES256 doesn't fit the key in ",
    ),
    "no set of keys": (JWT + 'jwks_file = "rsa.pem"', "/rsa.pem is no JSON Web Key Set"),
    "a set with a secret": (JWT + 'jwks_file = "secret.json"', "/secret.json holds a private key ('s'), which the hub"),
    "a set without ids": (JWT + 'jwks_file = "nameless.json"', "/nameless.json has no key for signatures with a kid"),
    "a set with an id twice": (JWT + 'jwks_file = "twice.json"', "/twice.json has the kid 'a' twice"),
    "a set without a key that fits": (
        JWT.replace("RS256", "EdDSA") + 'jwks_file = "keys.json"',
        ", line 3: jwt.jwks_file: ",
    ),
    "HS256 with a set": (JWT.replace("RS256", "HS256") + 'jwks_file = "keys.json"', "HS256 is checked by a secret"),
    "too much leeway": (
        f'[jwt]\nalgorithms = ["HS256"]\nsecret = "{KEY}"\nleeway_seconds = 1000',
        ", line 4: jwt.leeway_seconds: Input should be less than or equal to 300",
    ),
    "every origin": (
        TICKET + '[stream]\n\norigins = ["*"]',
        ', line 5: stream.origins: "*" would let the pages of every',
    ),
    "an origin with a path": (
        TICKET + '[stream]\norigins = ["https://a.b/"]',
        "'https://a.b/' is no origin; write it as",
    ),
    "no origin": (TICKET + '[stream]\norigins = ["https://a.b", ""]', ", line 4: stream.origins: '' is no origin"),
    "an origin in capitals": (TICKET + '[stream]\norigins = ["https://A.b"]', "'https://A.b' is no origin"),
    "an origin's default port": (TICKET + '[stream]\norigins = ["https://a.b:443"]', 'port; write "https://a.b"'),
    "no path": (TICKET + '[stream]\npath = "events"', ', line 4: stream.path: it begins with "/"'),
    "a path with a query": (TICKET + '[stream]\npath = "/events?a"', ', line 4: stream.path: it begins with "/"'),
    "a path that is taken": (TICKET + '[stream]\npath = "/publish"', "the hub has something else at /publish"),
    "a path below another": (TICKET + '[stream]\npath = "/nitro/x"', "the hub has something else at /nitro/x"),
    "a wrong public topic": ('[stream]\npublic = ["news.**"]', ", line 2: stream.public: "),
    "a publisher without topics": (
        TICKET + f'[publish.keys.billing]\nsecret = "{BILLING}"',
        ', line 3: publish.keys.billing.topics: it is missing; write what it may publish, as in topics = ["order.*"]',
    ),
    "a publisher with a short secret": (
        TICKET + '[publish.keys.billing]\nsecret = "short"\ntopics = ["*"]',
        ", line 4: publish.keys.billing.secret: a key has 16 ASCII characters",
    ),
    "a publisher with a text for topics": (
        TICKET + f'[publish.keys.billing]\nsecret = "{BILLING}"\ntopics = "*"',
        ', line 5: publish.keys.billing.topics: it is a list, ["order.*"], or a table',
    ),
    "a publisher with a wrong topic": (
        TICKET + f'[publish.keys.billing]\nsecret = "{BILLING}"\ntopics = ["a..b"]',
        ", line 5: publish.keys.billing.topics: ",
    ),
    "a publisher without a name": (
        TICKET + f'[publish.keys.""]\nsecret = "{BILLING}"\ntopics = ["*"]',
        ": publish.keys: ",
    ),
    "publishers that are none": (TICKET + "[publish]\nkeys = 5", ", line 4: publish.keys: "),
    "two publishers with one secret": (
        TICKET + "".join(f'[publish.keys.{name}]\nsecret = "{BILLING}"\ntopics = ["*"]\n' for name in "ab"),
        ", line 3: publish.keys: a and b have the same secret; each needs its own",
    ),
    "a dotted key": (f'ticket.secret = "{SECRET}"\nticket.second = 5', ", line 2: ticket.second: there is no such key"),
    "an inline table": (
        f'\nticket = {{ secret = "{SECRET}", second = 5 }}',
        ", line 2: ticket.second: there is no such",
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys of all kinds, right and wrong."""
    folder = tmp_path_factory.mktemp("keys")
    key, short = rsa_key(), rsa_key(1024)
    pem = public_pem(key.public_key())
    (folder / "rsa.pem").write_bytes(pem)
    (folder / "broken.pem").write_bytes(pem.replace(b"MII", b"MIX"))
    (folder / "private.pem").write_bytes(private_pem(key))
    (folder / "short.pem").write_bytes(public_pem(short.public_key()))
    public = jwk(key.public_key(), "RS256")
    sets = {
        "keys": [{**public, "kid": "a"}, jwk(ec_key().public_key(), "ES256", kid="b")],
        "secret": [{"kty": "oct", "k": "eHh4", "kid": "s"}],
        "nameless": [public],
        "one-nameless": [public, {**public, "kid": "a"}],
        "twice": [{**public, "kid": "a"}, {**public, "kid": "a"}],
    }
    for name, found in sets.items():
        (folder / f"{name}.json").write_text(json.dumps({"keys": found}))
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_the_file_is_told_with_its_line(name: str, files: Path) -> None:
    text, said = WRONG[name]
    path = files / "hub.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_configuration(str(path), {})
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)
    assert ", line " in str(error.value) or name == "nobody is let in"
    for secret in (SECRET, KEY, BILLING, "0123456789"):
        assert secret not in str(error.value)


WRONG_VARIABLES: Mapping[str, tuple[dict[str, str], str]] = {
    "a misspelt name": (
        {"TICKET_SECRT": SECRET},
        "NITRO_SERVE_TICKET_SECRT is no setting of the hub's; is NITRO_SERVE_TICK",
    ),
    "an unknown name": (
        {"Q": SECRET},
        "NITRO_SERVE_Q is no setting of the hub's; there are NITRO_SERVE_METRICS, NITRO_SE",
    ),
    "a key of a publisher that the file doesn't name": ({"PUBLISH_KEYS_X_SECRET": KEY}, "is no setting of the hub's"),
    "a short secret": ({"TICKET_SECRET": "short"}, "NITRO_SERVE_TICKET_SECRET: a secret has 16 characters or more"),
    "no boolean": (
        {"TICKET_SECRET": SECRET, "METRICS": "maybe"},
        "NITRO_SERVE_METRICS: Input should be a valid boolean",
    ),
    "nothing": ({}, "nobody may hear anything yet. Write [ticket]"),
    "no algorithms": ({"JWT_SECRET": KEY}, "NITRO_SERVE_JWT_ALGORITHMS: it is missing"),
    "every origin": ({"TICKET_SECRET": SECRET, "STREAM_ORIGINS": "*"}, 'NITRO_SERVE_STREAM_ORIGINS: "*" would let'),
}


@pytest.mark.parametrize("name", WRONG_VARIABLES)
def test_what_is_wrong_in_the_environment_is_told_with_the_variable(name: str) -> None:
    variables, said = WRONG_VARIABLES[name]
    with pytest.raises(ConfigurationError) as error:
        read_configuration(None, {f"NITRO_SERVE_{key}": value for key, value in variables.items()})
    assert said in str(error.value)
    assert SECRET not in str(error.value) and KEY not in str(error.value)


@pytest.mark.parametrize("service", ["nitro-serve", "nitro-serve-hub", "nitro"])
def test_a_hub_starts_in_a_pod_beside_a_service_of_its_name(service: str) -> None:
    variables = {**service_links_of(service), "NITRO_SERVE_TICKET_SECRET": SECRET}
    assert read_configuration(None, variables).ticket is not None
    with pytest.raises(ConfigurationError, match="NITRO_SERVE_PORTS is no setting"):
        read_configuration(None, {**variables, "NITRO_SERVE_PORTS": "8000"})
    with pytest.raises(ConfigurationError, match="NITRO_SERVE_PORT is no setting"):
        read_configuration(None, {"NITRO_SERVE_TICKET_SECRET": SECRET, "NITRO_SERVE_PORT": "8000"})


def test_variables_win_over_the_file_and_lists_are_words(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(
        '[stream]\npath = "/a"\norigins = ["https://a.example"]\n[ticket]\nseconds = 5\n'
        '[publish.keys.the-till]\ntopics = ["order.*"]'
    )
    variables = {
        "STREAM_PATH": "/b",
        "STREAM_ORIGINS": "https://b.example, https://c.example:8443  http://[::1]:8000",
        "STREAM_PUBLIC": "news.*",
        "STREAM_COOKIES": "true",
        "TICKET_SECRET": SECRET,
        "JWT_ALGORITHMS": "HS256,HS384",
        "JWT_SECRET": KEY * 2,
        "PUBLISH_KEYS_THE_TILL_SECRET": BILLING,
        "CONFIG": "not looked at here",
    }
    found = read_configuration(str(path), {f"NITRO_SERVE_{key}": value for key, value in variables.items()})
    assert found.stream.path == "/b"
    assert found.stream.origins == ("https://b.example", "https://c.example:8443", "http://[::1]:8000")
    assert found.stream.public == ("news.*",)
    assert found.stream.cookies is True
    assert found.ticket is not None and found.ticket.seconds == 5
    assert found.jwt is not None and found.jwt.algorithms == ("HS256", "HS384")
    assert repr(found.publish.publisher) == "<Publisher for ['the-till']>"
    assert SECRET not in repr(found) and KEY not in repr(found) and BILLING not in repr(found)


def test_a_key_without_an_id_leaves_the_others_of_its_set(files: Path) -> None:
    (files / "hub.toml").write_text(JWT + 'jwks_file = "one-nameless.json"')
    jwt = read_configuration(str(files / "hub.toml"), {}).jwt
    assert jwt is not None and isinstance(jwt.keys, Mapping) and list(jwt.keys) == ["a"]


def test_paths_in_the_file_are_relative_to_it(files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (files / "hub.toml").write_text(JWT + 'public_key_file = "rsa.pem"')
    assert read_configuration(str(files / "hub.toml"), {}).jwt is not None
    with pytest.raises(ConfigurationError, match=r"NITRO_SERVE_JWT_PUBLIC_KEY_FILE: rsa\.pem can't be read"):
        read_configuration(None, {"NITRO_SERVE_JWT_ALGORITHMS": "RS256", "NITRO_SERVE_JWT_PUBLIC_KEY_FILE": "rsa.pem"})


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("a",), 2),
        (("t",), 4),
        (("t", "text"), 5),
        (("t", "list"), 9),
        (("t", "list", "x"), 9),
        (("t", "no"), 4),
        (("u", "v"), 13),
        (("u", "v", "w"), 14),
        (("no",), None),
        ((), None),
    ],
    ids=shown,
)
def test_the_line_of_a_key_is_that_of_its_statement(place: tuple[str, ...], line: int | None) -> None:
    text = '# a\na = 1\n\n[t]\ntext = """\nlist = 1\n[u]\n"""\nlist = [\n  1, # list = 2\n]\n\n[u.v]\nw = 1\n'
    assert line_of(text, place) == line


def test_the_command_tells_it_in_one_line_with_code_2(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('[ticket]\nsecret = "short"')
    for arguments, said in (
        (("--config", str(path)), f"nitro: {path}, line 2: ticket.secret: a secret has 16 characters"),
        (
            ("--config", str(tmp_path / "no.toml")),
            f"nitro: {tmp_path}/no.toml can't be read: No such file or directory",
        ),
        (("--config=~/no.toml",), f"nitro: {tmp_path}/no.toml can't be read: No such file or directory"),
        ((), "nitro: nobody may hear anything yet. Write [ticket] with secret"),
    ):
        done = run("serve", *arguments, HOME=str(tmp_path))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(said) and done.stderr.count("\n") == 1, done.stderr


def test_what_is_wrong_with_the_broker_and_the_metrics_is_told_too() -> None:
    environment = {"NITRO_SERVE_STREAM_PUBLIC": "news.*"}
    for more, said in (
        (("--workers", "2"), "2 workers have a log in memory each"),
        ((), "NITRO_BROKER_URL starts with 'kafka'"),
    ):
        url = {} if more else {"NITRO_BROKER_URL": "kafka://x"}
        done = run("serve", *more, **environment, **url)
        assert done.returncode == 2
        assert done.stderr.startswith(f"nitro: {said}") and done.stderr.count("\n") == 1, done.stderr
    folder = {"PROMETHEUS_MULTIPROC_DIR": "/nowhere"}
    done = run("serve", **environment, **folder, NITRO_SERVE_METRICS="true")
    assert done.returncode == 2
    assert done.stderr.startswith("nitro: PROMETHEUS_MULTIPROC_DIR='/nowhere' is no directory"), done.stderr
    done = run("serve", **environment, WEB_CONCURRENCY="3")
    assert done.stderr.startswith("nitro: 3 workers have a log in memory each")


@pytest.mark.parametrize(
    ("broker", "more", "is_deaf"),
    [
        ("memory://", {}, True),
        ("sqlite:///events.db", {}, False),
        ("memory://", {"NITRO_SERVE_INSPECTOR_PASSWORD": "x" * 32}, False),
        ("memory://", {"NITRO_SERVE_INSPECTOR_PASSWORD": "x" * 32, "NITRO_SERVE_INSPECTOR_ACTIONS": "false"}, True),
    ],
)
def test_a_hub_that_no_event_can_reach_says_so(broker: str, more: dict[str, str], is_deaf: bool) -> None:
    configuration = read_configuration(None, {"NITRO_SERVE_STREAM_PUBLIC": "news.*", **more})
    said = _summary(configuration, Settings.model_validate({"broker_url": broker}))
    assert any("no event can reach it" in line and "[publish.keys]" in line for line in said) == is_deaf


def test_the_variables_of_a_file_count_before_anything_is_checked(tmp_path: Path) -> None:
    path, other = tmp_path / "hub.env", {"NITRO_BROKER_URL": "other://x"}
    path.write_text("NITRO_BROKER_URL=kafka://x\nNITRO_SERVE_STREAM_PUBLIC=news.*\n")
    option = ("--env-file", str(path))
    for arguments, environment, said in (
        (option, {}, "NITRO_BROKER_URL starts with 'kafka'"),
        ((), {"UVICORN_ENV_FILE": str(path)}, "NITRO_BROKER_URL starts with 'kafka'"),
        (option, other, "NITRO_BROKER_URL starts with 'other'"),
    ):
        done = run("serve", *arguments, **environment)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(f"nitro: {said}"), done.stderr
    path.write_text(f"WEB_CONCURRENCY=3\nNITRO_SERVE_CONFIG={tmp_path}/hub.toml\n")
    (tmp_path / "hub.toml").write_text(TICKET)
    assert run("serve", *option).stderr.startswith("nitro: 3 workers have a log in memory each")
    path.write_bytes(b"A=\xff")
    assert run("serve", *option).stderr == f"nitro: {path} is no text in UTF-8, from byte 2 on\n"
    missing = run("serve", "--env-file", str(tmp_path / "no.env"))
    assert missing.returncode == 2
    assert "does not exist" in " ".join(missing.stderr.replace("│", " ").split())


def test_one_text_stands_for_a_list_of_it(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text('[stream]\npublic = "news.*"\norigins = "https://a.example"\n')
    stream = read_configuration(str(tmp_path / "hub.toml"), {}).stream
    assert (stream.public, stream.origins) == (("news.*",), ("https://a.example",))
