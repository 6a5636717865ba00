"""The doctor's first question to a stream: who answers there, and does it greet as a stream of Nitro's does?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx

from nitro.cli.doctor_log import CLOCK, CLOCKS_DIFFER
from nitro.cli.findings import Findings
from nitro.redaction import without_secrets

__all__ = ["FAILURES", "Greeting", "first_greeting", "refusal_of", "text_of"]

FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError)
_MOST_CHARACTERS: Final = 65_536


class Greeting(NamedTuple):
    """What a stream says at its beginning.

    Attributes:
        url: where it is, behind all redirects.
        took_seconds: until it had ended.
    """

    url: httpx.URL
    heartbeat_seconds: float
    took_seconds: float


async def first_greeting(
    http: httpx.AsyncClient, address: str, headers: Mapping[str, str], seconds: float, found: Findings
) -> Greeting | None:
    """Ask for a stream that ends behind its greeting: so it comes whole, whatever holds streams back.

    Args:
        http: follows redirects.
        seconds: for how long to wait for an answer, and then for its text.
        found: told what is wrong if there is no greeting.
    """
    url = httpx.URL(address)
    url = url.copy_with(params=url.params.merge({"probe": "1", "envelope": "1"}))
    began = time.monotonic()
    asked_at = time.time()
    try:
        async with http.stream("GET", url, headers=headers) as response:
            answered_at = time.time()
            text = await text_of(response, seconds)
    except FAILURES as error:
        why = f"no answer came within {seconds:g} s" if isinstance(error, httpx.TimeoutException) else str(error)
        found.add("unreachable", f"the stream is not to be had: {why or type(error).__name__}", _remedy(error))
        return None
    took = time.monotonic() - began
    if response.history:
        found.facts["redirected"] = f"to {without_secrets(str(response.url))}"
    _check_clock(response, asked_at, answered_at, found)
    if response.status_code != 200:
        found.add("refused", refusal_of(response, text), _REMEDIES.get(response.status_code, _REMEDIES[0]))
        return None
    heartbeat = _heartbeat_in(text)
    kind = response.headers.get("content-type", "nothing")
    if heartbeat is None or not kind.startswith("text/event-stream"):
        what = f"the answer is no stream of Nitro's: {kind}"
        found.add("no-stream", what, "give the URL of an endpoint that returns EventSourceResponse")
        return None
    return Greeting(response.url, heartbeat, took)


def _check_clock(response: httpx.Response, asked_at: float, answered_at: float, found: Findings) -> None:
    try:
        told = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return
    ahead = told - answered_at if told > answered_at else min(told + 1 - asked_at, 0)  # it has whole seconds
    if abs(ahead) > CLOCKS_DIFFER:
        way = "ahead of" if ahead > 0 else "behind"
        what = f"the clock of the stream's host is {abs(ahead):.0f} s {way} this one"
        found.add("clock", f"{what}: rights, tickets and tokens end too early or too late", CLOCK)


async def text_of(response: httpx.Response, seconds: float) -> str:
    """What comes of an answer within that time: it may be a stream, which has no end."""
    text = ""
    with contextlib.suppress(TimeoutError, httpx.ReadTimeout):
        async with asyncio.timeout(seconds):
            async for piece in response.aiter_text():
                text += piece
                if len(text) > _MOST_CHARACTERS:
                    break
    return text


def _heartbeat_in(text: str) -> float | None:
    """What a greeting says of it; None if there is none."""
    for line in text.splitlines():
        if line.startswith("data: {"):
            with contextlib.suppress(ValueError):
                heartbeat = json.loads(line.removeprefix("data: ")).get("heartbeat")
                if isinstance(heartbeat, int | float):
                    return float(heartbeat)
    return None


def refusal_of(response: httpx.Response, text: str) -> str:
    """What the answer says, in one line."""
    detail = ""
    if "json" in response.headers.get("content-type", ""):
        try:
            problem = json.loads(text)
            detail = str(problem.get("detail") or problem.get("title") or "") if isinstance(problem, dict) else ""
        except ValueError:
            detail = ""
    return f"{response.status_code} {response.reason_phrase}{f': {detail}' if detail else ''}"


def _remedy(error: Exception) -> str:
    """What to do where nobody has answered."""
    why = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "give it a certificate for this host; if your own authority signed it, set SSL_CERT_FILE to its file"
    if "[SSL" in why:
        return "write http:// if that port speaks no TLS"
    if isinstance(error, httpx.RemoteProtocolError):
        return "does it speak HTTP there? Write https:// if that port speaks TLS"
    if isinstance(error, httpx.TooManyRedirects):
        return "let the server end its redirects: open it in a browser"
    return "is the application running there?"


_REMEDIES: Final = {
    0: "open it in a browser: the application decides what it answers",
    401: "pass --header 'Authorization: Bearer …' or --header 'Cookie: …'",
    403: "pass a --header of somebody who may hear it",
}
