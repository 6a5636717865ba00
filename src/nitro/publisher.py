"""Publisher: an ASGI application that accepts events over HTTP from programs in any language.

`app.mount("/publish", Publisher({os.environ["BILLING_KEY"]: Grant({"order.*": ["billing"]}, user_id="billing")}))`

Requests are authenticated by a key, and emitted in this process, with its handlers.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from nitro.access.permissions import Permissions
from nitro.brokers.idempotency import IdempotencyKey
from nitro.clients.grant import Grant, check_grant
from nitro.clients.rights import Rights
from nitro.delivery.process import get_hub
from nitro.errors import (
    AccessDenied,
    ArgumentTypeError,
    BrokerUnavailable,
    ConfigurationError,
    InvalidPayload,
    NitroError,
    NotAuthenticated,
    PayloadTooLarge,
)
from nitro.events.emitting import emit_idempotent
from nitro.events.sender import ANY
from nitro.messages.topics import check_topic
from nitro.sse.problem import AWAY, Problem

__all__ = ["Publisher"]

log: Final = logging.getLogger("nitro.events")

_LEAST_KEY_CHARS: Final = 16
_BODY_SECONDS: Final = 10.0
_READ_SECONDS: Final = 1.0
"""How long a process may take to read from the log what the log has acknowledged."""
_BESIDE_THE_RESULT_BYTES: Final = 8192
_MOST_ESCAPED: Final = 6
"""How many bytes JSON may take for one: \\u0041 is an A. The result is measured again, as it is sent to clients."""
_IDEMPOTENCY_KEY: Final = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?', re.ASCII)
_FIELDS: Final = {"topic", "result", "sender"}


@dataclass(frozen=True, slots=True)
class _Key:
    """The rights of a key, of which only a digest is kept."""

    digest: bytes
    owner: str
    permissions: Permissions | None
    expires_at: float | None

    @property
    def is_over(self) -> bool:
        return self.expires_at is not None and self.expires_at <= time.time()


class Publisher:
    """Accepts `POST` requests with `{"topic": "order.placed", "result": {…}, "sender": "billing"}`, one event each.

    The key is sent as `Authorization: Bearer <key>`. With the header `Idempotency-Key`, a request that is repeated, to
    any process with the same broker, is published once, for as long as the log retains the event. Handlers may run
    again for a request that is repeated before the broker has acknowledged.

    Responds 200 with `{"published": true}` once the broker has acknowledged, or false if a handler cancelled the event.
    Errors are problem details (RFC 9457): 400 for invalid JSON, 401 without a valid key, 403 for a topic or sender
    outside its grant, 405 for another method, 409 while a request with the same idempotency key is in progress, 413 and
    422 for an event that can't be sent, 422 also for an idempotency key that was used for another event, 500 if a
    `required` handler raised or no broker can be made, which is logged, and 503 with `Retry-After` if the broker is
    unreachable: retry with the same key.

    Args:
        keys: a mapping of each key, 16 or more unguessable characters, to the grant of what it may publish. The grant's
            `user_id` names the owner: all keys of an owner share its idempotency keys.

    Raises:
        ConfigurationError: a key is too short, or a grant has no `user_id`.
        ArgumentTypeError: `keys` is no mapping, or one of its values no Grant.
    """

    def __init__(self, keys: Mapping[str, Grant]) -> None:
        if not isinstance(keys, Mapping):
            raise ArgumentTypeError(
                f"a Publisher takes a mapping of keys to their grants, not {type(keys).__name__}: "
                "Publisher({key: Grant(['order.*'], user_id='billing')})"
            )
        self._keys = [_opened_by(key, grant) for key, grant in keys.items()]
        self._under_way: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            raise ConfigurationError(f"a Publisher takes http requests, not {scope['type']}; mount it at a path")
        request = Request(scope, partial(_in_turns, receive))
        try:
            response = await self._answer(request)
        except _Refused as refusal:
            response = Problem(refusal, refusal.status)
            if refusal.status == 405:
                response.headers["allow"] = "POST"
        except BrokerUnavailable:
            response = Problem(AWAY)
        except Exception as error:
            if isinstance(error, NitroError) and not isinstance(error, ConfigurationError):
                response = Problem(error)
            else:  # of a required handler
                log.exception("what was published over HTTP failed in this process")
                response = Problem(_Refused("this event failed in the server, whose log says why", 500), 500)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            raise _Refused("publish by POST", 405)
        key = self._key_of(request)
        body = await _body_of(request)
        topic, result, sender = _event_in(body)
        if key.permissions is not None and not key.permissions.permits(topic, sender):
            raise AccessDenied("this key may not publish that topic with that sender")
        idempotency_key = _idempotency_key_of(request, key.owner, body)
        if idempotency_key is None:
            return await _publish(topic, result, sender, None)
        if idempotency_key.key in self._under_way:
            raise _Refused("a request with this Idempotency-Key is in progress; retry later", 409)
        known = get_hub().broker.content_of(idempotency_key.key)
        if known is not None:
            _check_content(known, idempotency_key)
            return JSONResponse({"published": True}, headers={"idempotency-replayed": "true"})
        self._under_way.add(idempotency_key.key)
        try:
            return await _publish(topic, result, sender, idempotency_key)
        finally:
            self._under_way.discard(idempotency_key.key)

    def _key_of(self, request: Request) -> _Key:
        """The key of the request. Compares all keys, so that the time taken reveals nothing."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        digest = _digest(shown.strip())
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if scheme.lower() != "bearer" or not found or found[0].is_over:
            raise NotAuthenticated("send a valid key: Authorization: Bearer <key>")
        return found[0]

    def __repr__(self) -> str:
        return f"<Publisher for {sorted({key.owner for key in self._keys})}>"


class _Refused(NitroError):
    """A rejected request whose status is not that of another error."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def _opened_by(key: str, grant: Grant) -> _Key:
    if not isinstance(key, str) or len(key) < _LEAST_KEY_CHARS or not key.isascii() or key != key.strip():
        raise ConfigurationError(
            f"a key has {_LEAST_KEY_CHARS} ASCII characters or more; make one with secrets.token_urlsafe(32)"
        )
    check_grant(grant, "what a key of a Publisher opens")
    if grant.user_id is None:
        raise ConfigurationError("the grant of a key needs its owner as user_id: Grant([…], user_id='billing')")
    return _Key(_digest(key), grant.user_id, Rights(grant).permissions, grant.expires_at)


async def _in_turns(receive: Receive) -> Message:
    """Call `receive`, and yield to the event loop even if it never waits, so that the timeout for a body works."""
    message = await receive()
    await asyncio.sleep(0)
    return message


async def _body_of(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused("send the event as application/json", 415)
    limit = get_hub().settings.max_payload_bytes * _MOST_ESCAPED + _BESIDE_THE_RESULT_BYTES
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise PayloadTooLarge(f"the request has {length[:20]} bytes, limit {limit}")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise PayloadTooLarge(f"the request has more than {limit} bytes")
    except TimeoutError:
        raise _Refused(f"the body wasn't received within {_BODY_SECONDS:g} s", 408) from None
    except ClientDisconnect:  # nobody hears it, but middleware expects an answer
        raise _Refused("the body did not come to its end", 400) from None
    return bytes(body)


def _event_in(body: bytes) -> tuple[str, Any, str | None]:
    try:
        event = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        reason = str(error).encode("ascii", "backslashreplace").decode()[:200]
        raise _Refused(f"the body is not valid JSON: {reason}", 400) from None
    if not isinstance(event, dict) or not {"topic", "result"} <= set(event) <= _FIELDS:
        raise InvalidPayload('the body has to be {"topic": ..., "result": ...}, with an optional "sender"')
    topic, result, sender = event["topic"], event["result"], event.get("sender")
    if result is None:
        raise InvalidPayload("result is null, and only an event with a result reaches clients")
    if sender is not None and not isinstance(sender, str):
        raise InvalidPayload("sender has to be a string")
    return check_topic(topic), result, sender


def _idempotency_key_of(request: Request, owner: str, body: bytes) -> IdempotencyKey | None:
    shown = request.headers.get("idempotency-key")
    if shown is None:
        return None
    found = _IDEMPOTENCY_KEY.fullmatch(shown)
    if found is None:
        raise _Refused("an Idempotency-Key is 1 to 255 visible ASCII characters", 400)
    return IdempotencyKey(_short(f"{len(owner)}:{owner}{found[1]}".encode()), _short(body), time.time())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


async def _publish(topic: str, result: Any, sender: str | None, idempotency_key: IdempotencyKey | None) -> Response:
    _, is_published = await emit_idempotent(
        topic, ANY if sender is None else sender, None, {"result": result}, idempotency_key
    )
    if is_published and idempotency_key is not None:  # another process may have been first
        found = asyncio.wrap_future(get_hub().broker.content_when_read(idempotency_key.key))
        await asyncio.wait([found], timeout=_READ_SECONDS)
        _check_content(found.result() if found.done() else None, idempotency_key)
    return JSONResponse({"published": is_published})


def _check_content(found: str | None, idempotency_key: IdempotencyKey) -> None:
    if found is not None and found != idempotency_key.content:
        raise _Refused("this Idempotency-Key was used for another event", 422)


def _short(data: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(data).digest()[:16]).decode().rstrip("=")
