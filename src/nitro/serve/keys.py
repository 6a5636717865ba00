"""The keys that check a JSON Web Token, from a secret, a PEM file or a JSON Web Key Set. Needs PyJWT and cryptography.

Each key knows the algorithms that fit it, and checks no other: a token can't choose how it is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from nitro.errors import ConfigurationError

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from jwt import PyJWK, PyJWTError
except ModuleNotFoundError as _missing:
    raise ImportError(
        f"nitro serve needs the package {_missing.name!r}: pip install 'nitro-realtime[serve]'"
    ) from _missing

__all__ = ["Key", "Keys", "check_algorithms", "of_jwks", "of_pem", "of_secret"]

_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least length of a secret is that of the hash (RFC 7518, 3.2)."""
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_KNOWN: Final = (*_SECRET_BYTES, *_RSA, *_CURVES.values(), "EdDSA")
_LEAST_RSA_BITS: Final = 2048
_MAX_FILE_BYTES: Final = 1024 * 1024
_MAX_PATH_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        value: as PyJWT takes it.
        algorithms: those that it checks.
    """

    value: Any = field(repr=False)
    algorithms: tuple[str, ...]


Keys: TypeAlias = Key | Mapping[str, Key]
"""The one key of all tokens, or the keys by their `kid`."""


def check_algorithms(algorithms: tuple[str, ...]) -> tuple[str, ...]:
    """The same algorithms.

    Raises:
        ConfigurationError: one of them is none that is known, or is no signature.
    """
    for each in algorithms:
        if each.lower() == "none":
            raise ConfigurationError(
                '"none" is no signature, and anybody could write such a token; write ["RS256"] or ["HS256"]'
            )
        if each not in _KNOWN:
            raise ConfigurationError(f"{each!a:.40} is no algorithm that is known; known are {', '.join(_KNOWN)}")
    return algorithms


def of_secret(secret: str, algorithms: Sequence[str]) -> Key:
    """The key that is a secret.

    Raises:
        ConfigurationError: it is too short, is no secret at all, or an algorithm needs a public key.
    """
    for each in algorithms:
        if each not in _SECRET_BYTES:
            raise ConfigurationError(
                f"{each} is checked by a public key; write public_key_file or jwks_file in place of secret, or "
                'algorithms = ["HS256"]'
            )
    value = secret.encode()
    if value.lstrip().startswith((b"-----BEGIN", b"ssh-")):
        raise ConfigurationError(
            "it is a public key, which is no secret; write public_key_file with the path of its file"
        )
    least = max(_SECRET_BYTES[each] for each in algorithms)
    if len(value) < least:
        raise ConfigurationError(
            f"it has {len(value)} bytes, and {'/'.join(algorithms)} needs {least}; make one with "
            f"secrets.token_urlsafe({least})"
        )
    return Key(value, tuple(algorithms))


def of_pem(path: str, algorithms: Sequence[str]) -> Key:
    """The public key in a PEM file.

    Raises:
        ConfigurationError: the file can't be read, holds no public key, or an algorithm doesn't fit it.
    """
    data = _read(path)
    if b"PRIVATE KEY-----" in data:
        raise ConfigurationError(
            f"{path} holds a private key, which the hub must not have; openssl pkey -pubout writes the public one"
        )
    try:
        value = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(
            f"{path} holds no public key in PEM, which begins with -----BEGIN PUBLIC KEY-----"
            + ("; openssl x509 -pubkey -noout writes that of a certificate" if b"CERTIFICATE-----" in data else "")
        ) from None
    fitting = _algorithms_of(value, path)
    for each in algorithms:
        if each not in fitting:
            raise ConfigurationError(
                f"{each} doesn't fit the key in {path}, which checks {' or '.join(fitting) or 'nothing that is known'}"
            )
    return Key(value, tuple(algorithms))


def of_jwks(path: str, algorithms: Sequence[str]) -> Mapping[str, Key]:
    """The keys of a JSON Web Key Set by their `kid`, those of them that check one of the algorithms.

    Raises:
        ConfigurationError: the file can't be read, is no such set, or has no such key.
    """
    for each in algorithms:
        if each in _SECRET_BYTES:
            raise ConfigurationError(
                f"{each} is checked by a secret, and a JWKS holds public keys; write secret in place of jwks_file"
            )
    data = _read(path)
    try:
        found = json.loads(data)["keys"]
        entries = [(entry["kid"], entry) for entry in found if "kid" in entry and entry.get("use", "sig") == "sig"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigurationError(f'{path} is no JSON Web Key Set, {{"keys": [{{"kid": …, "kty": …}}]}}') from None
    if found and not entries:
        raise ConfigurationError(
            f"{path} has no key for signatures with a kid, by which a token names its key; give it one"
        )
    keys: dict[str, Key] = {}
    for kid, entry in entries:
        if not isinstance(kid, str) or kid in keys:
            raise ConfigurationError(f"{path} has the kid {kid!a:.40} twice, or not as a text; each key needs its own")
        if "d" in entry or entry.get("kty") == "oct":
            raise ConfigurationError(f"{path} holds a private key ({kid!a:.40}), which the hub must not have")
        try:
            value = PyJWK(entry).key
        except (PyJWTError, TypeError, ValueError):  # of a kind that is not known, or none
            continue
        fitting = [each for each in _algorithms_of(value, path) if each in algorithms]
        fitting = [each for each in fitting if entry.get("alg", each) == each]
        if fitting:
            keys[kid] = Key(value, tuple(fitting))
    if not keys:
        raise ConfigurationError(f"{path} has no key that checks {' or '.join(algorithms)}")
    return keys


def _read(path: str) -> bytes:
    if "-----BEGIN" in path or "{" in path or len(path) > _MAX_PATH_CHARS or not path.isprintable():
        raise ConfigurationError("it is no path; write the path of the file that holds the key, and not the key")
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} has more than {_MAX_FILE_BYTES} bytes, and is no key")
    return data


def _algorithms_of(value: object, path: str) -> tuple[str, ...]:
    """The algorithms that a public key can check."""
    if isinstance(value, RSAPublicKey):
        if value.key_size < _LEAST_RSA_BITS:
            raise ConfigurationError(
                f"{path} has an RSA key of {value.key_size} bits, which can be broken; {_LEAST_RSA_BITS} are the least"
            )
        return _RSA
    if isinstance(value, EllipticCurvePublicKey):
        return tuple(algorithm for curve, algorithm in _CURVES.items() if curve == value.curve.name)
    return ("EdDSA",) if isinstance(value, Ed25519PublicKey) else ()
