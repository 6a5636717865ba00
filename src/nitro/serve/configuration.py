"""The hub's configuration: what may be set, and what each value has to be. Frozen; `sources.py` reads it.

A validator raises what is wrong with the remedy; the name of the key and its place are added by who reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nitro.clients.grant import Grant
from nitro.errors import NitroError
from nitro.publisher import Publisher
from nitro.serve import keys
from nitro.tickets import Tickets

__all__ = ["Configuration", "Inspector", "Jwt", "Publish", "PublishKey", "Stream", "Ticket"]

T = TypeVar("T")

_STRICT: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_DEFAULT_PORT: Final = re.compile(r"https://.*:443|http://.*:80", re.ASCII)
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
_TAKEN: Final = ("/publish", "/metrics", "/live", "/ready", "/nitro", "/nitro-inspector")
"""The hub's other paths."""
_PASSWORD_CHARS: Final = 16
_CLOSED: Final = (
    'nobody may hear anything yet. Write [ticket] with secret = "…" for signed tickets, or [jwt] for JSON Web Tokens, '
    'or [stream] with public = ["news.*"] for what anybody may hear'
)
_ONE_KEY: Final = (
    "a signature is checked by one of secret (HS256), public_key_file (RS256, ES256 …) or jwks_file; write one"
)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _patterns(value: Any) -> Any:
    """A list of topics and patterns, or a table of those → senders, as `Grant` takes them."""
    is_table = isinstance(value, dict)
    lists = [list(value), *value.values()] if is_table else [value]
    if not all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in lists):
        raise ValueError(
            'it is a list, ["order.*"], or a table of topics and their senders, { "order.*" = ["billing"] }'
        )
    if not value:
        raise ValueError('it is empty; name a topic or pattern, as in ["order.*"]')
    try:
        Grant(value)
    except NitroError as error:
        raise ValueError(str(error)) from error
    return value


def _origin(origin: str) -> str:
    if origin == "*":
        raise ValueError(
            '"*" would let the pages of every site read; name each origin, as in "https://app.example.org"'
        )
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(
            f'{origin!a:.80} is no origin; write it as browsers do, in lower case and without a path: "https://app.example.org"'
        )
    if _DEFAULT_PORT.fullmatch(origin):
        raise ValueError(f'browsers leave out the default port; write "{origin.rpartition(":")[0]}"')
    return origin


_Patterns = Annotated[list[str] | dict[str, list[str]], PlainValidator(_patterns)]
_Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_listed), Field(min_length=1)]


class Stream(BaseModel):
    """Where the stream is, which pages of other origins may read it, and what needs no token.

    Attributes:
        path: of the stream.
        origins: other origins whose pages may read it (CORS).
        cookies: whether browsers may send cookies from those, for a proxy in front that asks for them.
        public: topics and patterns that anybody may hear.
    """

    model_config = _STRICT
    path: str = "/events"
    origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_listed)] = ()
    cookies: bool = False
    public: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not _PATH.fullmatch(path):
            raise ValueError('it begins with "/" and ends with a name, as "/events" does')
        if path.startswith(tuple(f"{taken}/" for taken in _TAKEN)) or path in _TAKEN:
            raise ValueError(f"the hub has something else at {path}; choose another, such as /events")
        return path

    @field_validator("public")
    @classmethod
    def _check_public(cls, public: tuple[str, ...]) -> tuple[str, ...]:
        Grant(list(public))
        return public


class Ticket(BaseModel):
    """How tickets are signed; as the arguments of `nitro.tickets.Tickets`."""

    model_config = _STRICT
    audience: str = "nitro"
    seconds: int = 60
    secret: _Secrets

    @field_validator("audience")
    @classmethod
    def _check_audience(cls, audience: str) -> str:
        Tickets("x" * 32, audience=audience)
        return audience

    @field_validator("seconds")
    @classmethod
    def _check_seconds(cls, seconds: int) -> int:
        Tickets("x" * 32, seconds=seconds)
        return seconds

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        Tickets([each.get_secret_value() for each in secrets])
        return secrets

    @property
    def tickets(self) -> Tickets:
        """What reads them."""
        secrets = [each.get_secret_value() for each in self.secret]
        return Tickets(secrets, seconds=self.seconds, audience=self.audience)


class Jwt(BaseModel):
    """How a JSON Web Token is checked, and which of its claims say what may be heard.

    Attributes:
        algorithms: those whose signatures count.
        secret, public_key_file, jwks_file: what checks them, one of the three.
        audience, issuer: what `aud` and `iss` have to be; a token with an `aud` needs `audience`.
        leeway_seconds: by how much the issuer's clock may differ.
        topics_claim, denied_claim: the names of the claims with topics and patterns.
    """

    model_config = _STRICT
    algorithms: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
    secret: SecretStr | None = None
    public_key_file: str | None = None
    jwks_file: str | None = None
    audience: Annotated[str, Field(min_length=1)] | None = None
    issuer: Annotated[str, Field(min_length=1)] | None = None
    leeway_seconds: float = Field(0.0, ge=0, le=300)
    topics_claim: str = Field("topics", min_length=1)
    denied_claim: str = Field("denied", min_length=1)

    @field_validator("algorithms")
    @classmethod
    def _check_algorithms(cls, algorithms: tuple[str, ...]) -> tuple[str, ...]:
        return keys.check_algorithms(algorithms)

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return _checked(secret, info, lambda value, algorithms: keys.of_secret(value.get_secret_value(), algorithms))

    @field_validator("public_key_file")
    @classmethod
    def _check_public_key(cls, path: str | None, info: ValidationInfo) -> str | None:
        return _checked(path, info, keys.of_pem)

    @field_validator("jwks_file")
    @classmethod
    def _check_jwks(cls, path: str | None, info: ValidationInfo) -> str | None:
        return _checked(path, info, keys.of_jwks)

    @model_validator(mode="after")
    def _has_one_key(self) -> Jwt:
        if [self.secret, self.public_key_file, self.jwks_file].count(None) != 2:
            raise ValueError(_ONE_KEY)
        return self

    @property
    def keys(self) -> keys.Keys:
        """What checks the signatures; files are read now."""
        if self.secret is not None:
            return keys.of_secret(self.secret.get_secret_value(), self.algorithms)
        if self.public_key_file is not None:
            return keys.of_pem(self.public_key_file, self.algorithms)
        assert self.jwks_file is not None
        return keys.of_jwks(self.jwks_file, self.algorithms)


def _checked(value: T | None, info: ValidationInfo, make: Callable[[T, tuple[str, ...]], object]) -> T | None:
    """`value`, if it makes keys for the algorithms; where those are wrong, that is said already."""
    if value is not None and "algorithms" in info.data:
        make(value, info.data["algorithms"])
    return value


class PublishKey(BaseModel):
    """A key of the publisher, or several of one owner, and what they may publish."""

    model_config = _STRICT
    secret: _Secrets
    topics: _Patterns

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        Publisher({each.get_secret_value(): Grant(["*"], user_id="x") for each in secrets})
        return secrets


class Publish(BaseModel):
    """Who may publish over HTTP: a name → its keys."""

    model_config = _STRICT
    keys: dict[str, PublishKey] = Field(default_factory=dict)

    @field_validator("keys")
    @classmethod
    def _check_keys(cls, named: dict[str, PublishKey]) -> dict[str, PublishKey]:
        owners: dict[str, str] = {}
        for name, key in named.items():
            Grant(["*"], user_id=name)
            for secret in key.secret:
                other = owners.setdefault(secret.get_secret_value(), name)
                if other != name:
                    raise ValueError(f"{other} and {name} have the same secret; each needs its own")
        return named

    @property
    def publisher(self) -> Publisher:
        """What takes their events."""
        return Publisher(
            {
                secret.get_secret_value(): Grant(key.topics, user_id=name)
                for name, key in self.keys.items()
                for secret in key.secret
            }
        )


class Inspector(BaseModel):
    """Who may see the inspector, and what it shows; as the arguments of `nitro.inspector`.

    Attributes:
        password: what a browser is asked for (HTTP Basic); any user name goes with it.
    """

    model_config = _STRICT
    password: SecretStr
    payloads: bool = False
    actions: bool = True

    @field_validator("password")
    @classmethod
    def _check_password(cls, password: SecretStr) -> SecretStr:
        if len(password.get_secret_value()) < _PASSWORD_CHARS:
            raise ValueError(
                f"it has fewer than {_PASSWORD_CHARS} characters; make one with secrets.token_urlsafe(16), since it "
                "shows every client and may be tried as often as somebody likes"
            )
        return password


class Configuration(BaseModel):
    """All of it.

    Attributes:
        metrics: whether `/metrics` answers.
    """

    model_config = _STRICT
    metrics: bool = False
    stream: Stream = Stream()
    ticket: Ticket | None = None
    jwt: Jwt | None = None
    publish: Publish = Publish()
    inspector: Inspector | None = None

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> Configuration:
        if self.ticket is None and self.jwt is None and not self.stream.public:
            raise ValueError(_CLOSED)
        return self
