"""Identity: who asks for a stream, by a ticket or a JSON Web Token, and so what they may hear.

Fed by the request's header and by what `CredentialsApart` took out of its query; feeds `event_stream` with a grant.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import jwt
from jwt.exceptions import InvalidSubjectError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from nitro.clients.grant import Grant
from nitro.errors import AccessDenied, NitroError, NotAuthenticated
from nitro.events.sender import ANY
from nitro.serve.configuration import Configuration, Jwt
from nitro.serve.keys import Key

__all__ = ["CredentialsApart", "Identity", "without_credentials"]

_PLACE: Final = "nitro.serve.credentials"
_PARAMETERS: Final = ("token", "ticket")
_SHOWN: Final = re.compile(r"([?&](?:token|ticket)=)[^&\s]*")
_MAX_TOKEN_CHARS: Final = 8192
_MEANINGS: Final[tuple[tuple[type[jwt.InvalidTokenError], str], ...]] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.MissingRequiredClaimError, "the token needs the claims exp and sub, and has not both"),
    (InvalidSubjectError, "the claim sub of the token is no text; a number is sent as one"),
)
"""What its sender is told of a token; of any other fault only that it is not valid. Claims are looked at once the
signature is known to be right."""


class CredentialsApart:
    """Takes `token` and `ticket` out of the query, before anything logs it: the server reads it for its access log from
    the same scope.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query: bytes = scope.get("query_string", b"")
        if b"%" in query or b"token=" in query or b"ticket=" in query:
            parameters = [parameter.partition("=") for parameter in query.decode("latin-1").split("&")]
            kept = ["".join(parameter) for parameter in parameters if unquote_plus(parameter[0]) not in _PARAMETERS]
            shown = [(unquote_plus(name), unquote_plus(value)) for name, _, value in parameters]
            scope[_PLACE] = {name: value for name, value in shown if name in _PARAMETERS}
            scope["query_string"] = "&".join(kept).encode("latin-1")
        await self._app(scope, receive, send)


def without_credentials(record: logging.LogRecord) -> bool:
    """A filter of the access log: uvicorn answers some requests by itself, and logs them as they came."""
    if isinstance(record.args, tuple):
        record.args = tuple(_SHOWN.sub(r"\1...", each) if isinstance(each, str) else each for each in record.args)
    return True


class Identity:
    """Says what a request may hear.

    A token or a ticket is sent as `Authorization: Bearer …` or, by an `EventSource`, as `?token=` or `?ticket=`. The
    first of these that is there counts, and if it is not valid nothing is heard, not even what is public.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._public = dict.fromkeys(configuration.stream.public, ANY)
        self._tickets = None if configuration.ticket is None else configuration.ticket.tickets
        self._tokens = None if configuration.jwt is None else _Tokens(configuration.jwt)
        ways = [way for way, read in (("a token", self._tokens), ("a ticket", self._tickets)) if read is not None]
        self._wanted = f"show {' or '.join(ways)}" if ways else "nobody has to show anything here"

    def grant_of(self, request: Request) -> Grant:
        """The grant of a request; what is public is a part of it.

        Raises:
            NotAuthenticated: what it shows is not valid, or it shows nothing and nothing is public.
            AccessDenied: its token allows nothing.
        """
        shown: Mapping[str, str] = request.scope.get(_PLACE, {})
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._with_public(self._of_bearer(bearer.strip()))
        if "token" in shown:
            return self._with_public(self._of_token(shown["token"]))
        if "ticket" in shown:
            return self._with_public(self._of_ticket(shown["ticket"]))
        if not self._public:
            raise NotAuthenticated(f"{self._wanted}: this request is not authenticated")
        return Grant(self._public)

    def _of_bearer(self, shown: str) -> Grant:
        """Of either kind: what is signed as one is never valid as the other."""
        if self._tokens is None:
            return self._of_ticket(shown)
        grant = None if self._tickets is None else self._tickets.read(shown)
        return grant or self._of_token(shown)

    def _of_token(self, token: str) -> Grant:
        if self._tokens is None:
            raise NotAuthenticated(f"tokens are not taken here; {self._wanted}")
        return self._tokens.read(token)

    def _of_ticket(self, ticket: str) -> Grant:
        if self._tickets is None:
            raise NotAuthenticated(f"tickets are not taken here; {self._wanted}")
        grant = self._tickets.read(ticket)
        if grant is None:
            raise NotAuthenticated("the ticket has expired or is not valid; get another one")
        return grant

    def _with_public(self, grant: Grant) -> Grant:
        if not self._public:
            return grant
        allowed = {**grant.allowed, **self._public}
        return Grant(allowed, grant.denied, grant.user_id, grant.expires_at, read_at=grant.read_at)

    def __repr__(self) -> str:
        return f"<Identity: {self._wanted}, {len(self._public)} patterns are public>"


class _Tokens:
    """Reads JSON Web Tokens as the configuration says."""

    def __init__(self, configuration: Jwt) -> None:
        self._keys = configuration.keys
        self._configuration = configuration

    def read(self, token: str) -> Grant:
        claims = self._claims_of(token)
        said = self._configuration
        topics = claims.get(said.topics_claim, [])
        denied = claims.get(said.denied_claim, [])
        for name, listed in ((said.topics_claim, topics), (said.denied_claim, denied)):
            if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
                raise NotAuthenticated(f"the claim {name!a:.40} of the token is no list of topics")
        if not topics:
            raise AccessDenied(f"the claim {said.topics_claim!a:.40} of the token allows no topic")
        try:
            return Grant(topics, denied, claims["sub"], claims["exp"] + said.leeway_seconds)
        except NitroError as error:
            raise NotAuthenticated(f"the token is signed, and says what it can't: {error}") from error

    def _claims_of(self, token: str) -> dict[str, Any]:
        said = self._configuration
        try:
            if len(token) > _MAX_TOKEN_CHARS:
                raise jwt.DecodeError("it is too long")
            key = self._key_of(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key.value,
                list(key.algorithms),
                {"require": ["exp", "sub"], "verify_iat": False},  # an issuer's clock may be ahead (RFC 7519, 4.1.6)
                audience=said.audience,
                issuer=said.issuer,
                leeway=said.leeway_seconds,
            )
            return {**claims, "exp": float(claims["exp"])}
        except (jwt.PyJWTError, OverflowError, RecursionError, TypeError) as error:  # PyJWT lets the latter through
            told = next((text for kind, text in _MEANINGS if isinstance(error, kind)), "the token is not valid")
            raise NotAuthenticated(told) from error

    def _key_of(self, token: str) -> Key:
        if isinstance(self._keys, Key):
            return self._keys
        key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
        if key is None:
            raise jwt.InvalidKeyError("no key has this kid")
        return key
