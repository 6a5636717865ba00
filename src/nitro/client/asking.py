"""Asking: what both readers do with a request and its answer, but for the waiting: requests, refusals, and the log."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from nitro.client.session import Session
from nitro.errors import ArgumentTypeError, ConfigurationError, StreamRefused
from nitro.redaction import without_secrets

if TYPE_CHECKING:
    import httpx
    from httpx_sse import EventSource

__all__ = ["CONNECT_SECONDS", "MOST_OF_A_PROBLEM", "Asking", "Headers", "HeadersGiven", "checked_headers", "checked_id"]

log: Final = logging.getLogger("nitro.client")

HeadersGiven: TypeAlias = Mapping[str, str] | None
Headers: TypeAlias = Mapping[str, str] | Callable[[], HeadersGiven | Awaitable[HeadersGiven]]
"""Headers, or a function that returns them, or None if there are none to be had now."""
CONNECT_SECONDS: Final = 20.0
MOST_OF_A_PROBLEM: Final = 65_536
"""So many bytes of a refusal are read."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"(?:[!-~]+(?:[ \t]+[!-~]+)*)?")
_NOT_IN_A_VALUE: Final = re.compile(r"[^ -~\t]")
"""Of RFC 9110, 5.1 and 5.5, in ASCII, as it asks of new headers."""
_NOT_IN_AN_ID: Final = re.compile(r"^[ \t]|[\x00-\x08\x0a-\x1f\x7f]|[ \t]\Z")
"""The rest is sent in UTF-8, as browsers send `Last-Event-ID`."""


class Asking:
    """How a stream is asked for, each time anew.

    Attributes:
        session: what it asks for, and what becomes of it.
    """

    def __init__(self, url: str, headers: Headers, session: Session) -> None:
        self.session = session
        self._url = url
        self._headers = headers
        self._is_away = False

    def headers(self) -> HeadersGiven | Awaitable[HeadersGiven]:
        """The user's headers for the next request."""
        return self._headers() if callable(self._headers) else self._headers

    def request(self, http: httpx.Client | httpx.AsyncClient, headers: Mapping[str, str]) -> httpx.Request:
        """The next request.

        Raises:
            ArgumentTypeError, ConfigurationError: these headers can't be sent.
        """
        import httpx

        parameters, headers = self.session.begin(checked_headers(headers))
        url = httpx.URL(self._url)
        as_sent = [(name.encode(), value.encode()) for name, value in headers.items()]  # an id may have any letters
        return http.build_request("GET", url.copy_with(params=url.params.merge(_lists(parameters))), headers=as_sent)

    def is_stream(self, response: httpx.Response) -> bool:
        """Whether the answer is a stream. From now on the reader limits its silence, since it knows the heartbeat."""
        kind = response.headers.get("content-type", "")
        if response.status_code != 200 or not kind.startswith("text/event-stream"):
            return False
        response.request.extensions["timeout"]["read"] = None
        return True

    def events(self, response: httpx.Response, chunks: Iterable[bytes] | AsyncIterable[bytes]) -> EventSource:
        """The events in the stream's body, which the reader reads itself."""
        import httpx
        from httpx_sse import EventSource

        headers = {"content-type": response.headers["content-type"]}
        return EventSource(httpx.Response(200, headers=headers, content=chunks))

    def has_problem(self, response: httpx.Response) -> bool:
        """Whether the answer's body may say why there is no stream."""
        return response.status_code != 200 and "json" in response.headers.get("content-type", "")

    def refusal(self, response: httpx.Response, body: bytes) -> StreamRefused:
        """Why there is no stream."""
        return self.session.refusal(response.status_code, response.headers.get("retry-after", ""), body)

    def wait_seconds(self, error: Exception | None) -> float:
        """How long to wait after a stream's end, or after `error`; the first one of an outage is logged.

        Raises:
            ConfigurationError: the request can't be sent.
            StreamRefused: there is no hope.
        """
        import httpx

        if isinstance(error, httpx.LocalProtocolError):
            raise ConfigurationError(f"{without_secrets(self._url)} can't be asked for: {error}") from error
        was_open, silence = self.session.is_open, self.session.silence_seconds
        wait = self.session.wait_seconds(error if isinstance(error, StreamRefused) else None)
        if was_open:
            self._is_away = False
        if error is not None and not self._is_away:
            self._is_away = True
            is_silent = isinstance(error, TimeoutError)
            why = f"nothing has come for {silence:g} s" if is_silent else str(error) or type(error).__name__
            log.warning("%s can't be listened to: %s. It is tried again", without_secrets(self._url), why)
        return wait


def checked_headers(headers: object) -> Mapping[str, str]:
    """The headers, if they can be sent. Errors don't show the values, which may be secrets.

    Raises:
        ArgumentTypeError: it is no mapping, or not one of strings.
        ConfigurationError: a name or a value has what can't be sent.
    """
    if not isinstance(headers, Mapping):
        raise ArgumentTypeError(f"headers is a mapping or a function that returns one, not {headers!r}")
    for name, value in headers.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            kinds = f"{type(name).__name__} and {type(value).__name__}"
            raise ArgumentTypeError(f"name and value of a header are strings, not {kinds}, as of {name!r}")
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name of a header: it has letters, digits and hyphens")
        if not _VALUE.fullmatch(value):
            bad = _NOT_IN_A_VALUE.search(value)
            why = f"has {bad[0]!r} at character {bad.start() + 1}" if bad else "begins or ends with a space or a tab"
            raise ConfigurationError(f"the value of the header {name} can't be sent: it {why}; write ASCII on one line")
    return headers


def checked_id(last_event_id: object) -> str:
    """The id, if it can be sent.

    Raises:
        ArgumentTypeError: it is no string.
        ConfigurationError: it has what can't be sent.
    """
    if not isinstance(last_event_id, str):
        raise ArgumentTypeError(f"last_event_id is a string, as nitro.position() returns, not {last_event_id!r}")
    if bad := _NOT_IN_AN_ID.search(last_event_id):
        raise ConfigurationError(
            f"last_event_id can't be sent: it has {bad[0]!r} at character {bad.start() + 1}; give the id of a message, "
            "or nitro.position(), as it is"
        )
    return last_event_id


def _lists(parameters: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parameters:
        found.setdefault(name, []).append(value)
    return found
