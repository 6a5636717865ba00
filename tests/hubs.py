"""A hub for tests: `nitro serve` in a process of its own, with a configuration in a file, and what is shown to it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from nitro import Grant
from nitro.tickets import Tickets
from tests.servers import ROOT, Server
from tests.sse import Stream

SECRET = "a secret of the tests, which is long enough"
KEY = "a key of the tests, which is long enough"
BILLING = "the key of billing, which is long enough"
HOUR = 3600


def hub(directory: Path, text: str, *options: str, **environment: str) -> Server:
    """`nitro serve` with that configuration."""
    path = directory / "hub.toml"
    path.write_text(text)
    return Server(
        "",
        runner="nitro serve",
        directory=ROOT,
        options=("--config", str(path), *options),
        environment={"NITRO_RETRY_MILLISECONDS": "100", **environment},
    )


def ticket(*topics: str, secret: str = SECRET, **grant: Any) -> str:
    return Tickets(secret).issue(Grant(list(topics), **grant))


def token(key: Any = KEY, algorithm: str = "HS256", *, kid: str | None = None, **claims: Any) -> str:
    """A token of ann's for an hour, unless the claims say otherwise; a claim of None is left out."""
    said = {"sub": "ann", "topics": ["todo.*"], "exp": int(time.time()) + HOUR, **claims}
    headers = {} if kid is None else {"kid": kid}
    payload = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(payload, key, algorithm, headers=headers)


def signed_by_hand(key: bytes, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """What no library signs: HMAC-SHA-256 with any bytes as its key; unsigned for an empty key."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    text = b".".join(parts)
    signature = hmac.digest(key, text, hashlib.sha256) if key else b""
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def ask(server: Server, query: str = "", **headers: str) -> httpx.Response:
    """The answer of the stream's path, which is a refusal."""
    return httpx.get(f"{server.url}/events?{query}", headers=headers, timeout=10, trust_env=False, verify=False)


def problem_of(answer: httpx.Response, status: int) -> str:
    """What a refusal says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.headers.get("www-authenticate") == "Bearer") is (status == 401)
    return str(answer.json()["detail"])


def opened(server: Server, query: str = "", headers: str = "") -> Stream:
    """A stream that is open."""
    stream = Stream(server.port, f"/events?{query}", headers).read_head()
    if "200 OK" not in stream.head:
        stream.socket.close()
        raise AssertionError(stream.head)
    return stream.read_until(b"id: ")


def publish(server: Server, topic: str, result: Any, key: str = BILLING, **headers: str) -> httpx.Response:
    return server.post(
        "/publish", json={"topic": topic, "result": result}, headers={"Authorization": f"Bearer {key}", **headers}
    )


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def jwk(key: PublicKeyTypes, algorithm: str, **more: Any) -> dict[str, Any]:
    """A public key as a JSON Web Key."""
    kind = jwt.get_algorithm_by_name(algorithm)
    found: dict[str, Any] = json.loads(kind.to_jwk(key))
    return {**found, **more}
