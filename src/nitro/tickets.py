"""Tickets: signed grants in the URL of a stream, for pages that can't send a cookie or a header.

`from nitro.tickets import Tickets`. Needs `nitro-realtime[tickets]`. Signed by itsdangerous with HMAC-SHA-256.

Issued by an endpoint that has authenticated the user, and read by the endpoint of the stream, which may be in another
application.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Sequence
from typing import Any, Final

from nitro.access.admission import REMEMBERED_SECONDS
from nitro.clients.grant import Grant, check_grant
from nitro.errors import ConfigurationError, NitroError
from nitro.events.sender import ANY

try:
    from itsdangerous import BadData, URLSafeTimedSerializer
    from itsdangerous.encoding import base64_decode, base64_encode
except ModuleNotFoundError as _missing:
    raise ConfigurationError("nitro.tickets needs itsdangerous: pip install 'nitro-realtime[tickets]'") from _missing

__all__ = ["Tickets"]

_LEAST_SECRET_CHARS: Final = 16
_MAX_TICKET_CHARS: Final = 4096
"""Servers and proxies commonly reject URLs longer than 8 KiB."""
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""What a ticket is made of. Python's decoder takes other letters, too, and warns of some."""
_SKEW_SECONDS: Final = 5
"""Maximum by which the issuer's clock may be ahead of the reader's."""


class Tickets:
    """Issues and reads signed tickets, each for one grant and a short time.

    A ticket is checked when a stream opens; the stream may outlive it, until its grant expires. Its rights are as old
    as its grant: a `disconnect_user` after the grant was made applies to it. A ticket is signed but not encrypted. A
    browser that reconnects after its lifetime needs a new one.

    Args:
        secret: a secret of 16 characters or more, or several: the last one signs, and all are accepted.
        seconds: maximum lifetime of a ticket: up to an hour, as long as a `disconnect_user` is remembered. It is
            written in the ticket; a reader with fewer `seconds` applies its own.
        audience: what the tickets are for. A ticket is rejected by readers with another audience, even with the same
            secret: a ticket for orders doesn't open a chat.

    A ticket's time of issue may be up to 5 seconds in the future, since clocks of hosts differ.

    Raises:
        ConfigurationError: a secret is too short, `seconds` is out of range, or `audience` is empty or no text.
    """

    def __init__(self, secret: str | Sequence[str], *, seconds: int = 60, audience: str = "nitro") -> None:
        secrets = [secret] if isinstance(secret, str) else list(secret) if isinstance(secret, Sequence) else []
        if not secrets or any(not isinstance(each, str) or len(each) < _LEAST_SECRET_CHARS for each in secrets):
            raise ConfigurationError(
                f"a secret has {_LEAST_SECRET_CHARS} characters or more; make one with secrets.token_urlsafe(32)"
            )
        if not isinstance(audience, str) or not audience or not audience.isprintable():
            raise ConfigurationError(f"audience is a name such as 'chat', not {audience!a:.80}")
        self._seconds = _checked(seconds, REMEMBERED_SECONDS)
        self._serializer = URLSafeTimedSerializer(
            secrets,
            salt=f"nitro.ticket:{audience}",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def issue(self, grant: Grant, *, seconds: int | None = None) -> str:
        """A ticket for `grant`, in URL-safe characters.

        Args:
            seconds: a shorter lifetime for this ticket.

        Raises:
            ConfigurationError: the grant is too long for a URL, or `seconds` is not from 1 to the default lifetime.
            ArgumentTypeError: it is no Grant.
        """
        check_grant(grant, "what a ticket is issued for")
        seconds = self._seconds if seconds is None else _checked(seconds, self._seconds)
        read_at = int((time.time() - (time.monotonic() - grant.read_at)) * 1000)
        fields = [_plain(grant.allowed), _plain(grant.denied), grant.user_id, grant.expires_at, seconds, read_at]
        ticket = str(self._serializer.dumps(fields))
        if len(ticket) > _MAX_TICKET_CHARS:
            raise ConfigurationError(
                f"a ticket of {len(ticket)} characters doesn't fit into a URL ({_MAX_TICKET_CHARS}); grant patterns "
                "such as 'user.7.*' instead of many topics"
            )
        return ticket

    def read(self, ticket: str | None) -> Grant | None:
        """The grant of a ticket; None if there is no ticket, its signature or audience is wrong, or it has expired."""
        if not isinstance(ticket, str) or len(ticket) > _MAX_TICKET_CHARS or not _ALPHABET.fullmatch(ticket):
            return None
        try:
            signature = ticket.rpartition(".")[2]
            if base64_encode(base64_decode(signature)).decode() != signature:
                return None  # another encoding of the same bytes: reject any change to a ticket
            fields, signed_at = self._serializer.loads(ticket, return_timestamp=True)
            allowed, denied, user_id, expires_at, seconds, *moment = fields
            now, second = time.time(), signed_at.timestamp()
            age = now - second
            if not -_SKEW_SECONDS <= math.floor(age) <= min(seconds, self._seconds):
                return None
            rights_age = now - _read_at(moment, second)
            if age < 0:  # the issuer's clock is ahead: assume the maximum skew
                rights_age = max(rights_age, age) + _SKEW_SECONDS
            read_at = time.monotonic() - max(0.0, rights_age)
            return Grant(_restored(allowed), _restored(denied), user_id, expires_at, read_at=read_at)
        except (BadData, NitroError, ValueError, TypeError, AttributeError):
            return None


def _checked(seconds: int, longest: int) -> int:
    if type(seconds) is not int or not 1 <= seconds <= longest:
        raise ConfigurationError(f"seconds is a whole number from 1 to {longest}, not {seconds!r}")
    return seconds


def _read_at(milliseconds: list[Any], second: float) -> float:
    """When the rights were read, in seconds since 1970: not after the ticket was signed, in that `second`.

    Tickets of earlier versions don't contain it.
    """
    if not milliseconds:
        return second
    (moment,) = milliseconds
    if type(moment) is not int or not 0 <= moment < (second + 1) * 1000:
        raise ValueError(f"{moment!a:.40} is no time before the ticket was signed")
    return moment / 1000


def _plain(patterns: dict[str, Any]) -> dict[str, Any]:
    return {pattern: None if senders is ANY else senders for pattern, senders in patterns.items()}


def _restored(patterns: dict[str, Any]) -> dict[str, Any]:
    return {pattern: ANY if senders is None else senders for pattern, senders in patterns.items()}
