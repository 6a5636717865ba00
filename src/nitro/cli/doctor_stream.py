"""The doctor's look at a stream over HTTP: does anything between here and the application hold it back, or end it?"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import httpx

import nitro
from nitro.cli.doctor_greeting import FAILURES, Greeting, first_greeting, refusal_of, text_of
from nitro.cli.failures import failures_told
from nitro.cli.findings import Findings
from nitro.redaction import without_secrets

__all__ = ["check_url", "examine_stream"]

_PROMPT_SECONDS: Final = 2.0
"""The first bytes come at once; a proxy that holds them back does so until there are more of them, or for ever."""
_AT_ONCE_SECONDS: Final = 0.5
"""What ends a stream so soon behind its last piece is no timeout: the application says at the end when to come back."""
_AS_BROWSERS: Final = "gzip, deflate, br, zstd"
_ALMOST: Final = 0.9
"""A piece that comes after so much of the heartbeat's time counts as it."""


def check_url(url: str, headers: Mapping[str, str]) -> None:
    """End the command if this can't be asked for."""
    with failures_told():
        nitro.listen(url, headers=headers)


def examine_stream(
    url: str,
    headers: Mapping[str, str],
    streams: int,
    seconds: float,
    epoch: str | None,
    found: Findings,
    say: Callable[[str], None],
) -> None:
    """Examine the stream at `url`.

    Args:
        headers: sent with each request.
        streams: how many of them are opened at once.
        seconds: for how long to wait for an answer.
        epoch: of the log that the application should have; None if it isn't known.
        say: told what is done now.
    """
    asyncio.run(_Examination(url, headers, seconds, found, say).run(streams, epoch))


class _Examination:
    def __init__(
        self, url: str, headers: Mapping[str, str], seconds: float, found: Findings, say: Callable[[str], None]
    ) -> None:
        self._url = url
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", **headers}
        self._seconds = seconds
        self._found = found
        self._say = say

    async def run(self, streams: int, epoch: str | None) -> None:
        found = self._found
        found.facts["stream"] = without_secrets(self._url)
        self._say("a first request")
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=self._seconds, limits=limits, follow_redirects=True) as http:
            greeting = await first_greeting(http, self._url, self._headers, self._seconds, found)
            if greeting is None:
                return
            await self._check_version(greeting.url)
            found.facts["heartbeat"] = f"each {greeting.heartbeat_seconds:g} s"
            self._say(f"a stream, and its heartbeat within {greeting.heartbeat_seconds:g} s")
            _, answers = await asyncio.gather(self._check_stream(http, greeting, epoch), self._answers(http, streams))
        self._judge_crowd(answers)

    async def _check_version(self, url: httpx.URL) -> None:
        """Whether browsers speak HTTP/2 with it, as TLS agrees on it."""
        version = "HTTP/1.1"
        if url.scheme == "https":
            context = httpx.create_ssl_context()
            context.set_alpn_protocols(["h2", "http/1.1"])
            try:
                async with asyncio.timeout(self._seconds):
                    _, writer = await asyncio.open_connection(url.host, url.port or 443, ssl=context)
            except OSError:
                return  # it has just answered, and will again
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
                version = "HTTP/2"
            writer.close()
        self._found.facts["protocol"] = version
        if version == "HTTP/1.1":
            what = "it is HTTP/1.1, over which a browser opens six connections to a host: the seventh tab has to wait"
            self._found.add("http1", what, _SHARE)

    async def _check_stream(self, http: httpx.AsyncClient, greeting: Greeting, epoch: str | None) -> None:
        """One stream as a browser asks for it, up to its first heartbeat."""
        patience = greeting.heartbeat_seconds * 1.5 + _PROMPT_SECONDS
        timeout = httpx.Timeout(self._seconds, read=patience)
        began = time.monotonic()
        heard: list[float] = []  # when something came
        failure: Exception | None = None
        try:
            headers = {**self._headers, "Accept-Encoding": _AS_BROWSERS}
            async with http.stream("GET", self._url, headers=headers, timeout=timeout) as response:
                if response.status_code != 200:
                    return  # as others of the crowd
                self._check_compression(response)
                async for piece in response.aiter_raw():
                    if not heard and epoch is not None:
                        self._check_epoch(piece, epoch)
                    heard.append(time.monotonic() - began)
                    if heard[-1] >= greeting.took_seconds + greeting.heartbeat_seconds * _ALMOST:
                        return
        except FAILURES as error:
            failure = error
        self._judge(heard, time.monotonic() - began, greeting, isinstance(failure, httpx.ReadTimeout))

    def _judge(self, heard: list[float], ended: float, greeting: Greeting, is_silent: bool) -> None:
        """What it means that pieces came at these times, and the end, or the end of patience, at that one."""
        first, last = (heard[0], heard[-1]) if heard else (ended, 0.0)
        beat = greeting.heartbeat_seconds
        if first > greeting.took_seconds + _PROMPT_SECONDS:
            self._found.add("buffered", _HELD_BACK.format(first), _DO_NOT_BUFFER)
        elif not is_silent and ended - last < _AT_ONCE_SECONDS:
            self._found.facts["ended"] = f"by the application after {ended:.0f} s: by its rights, or its age"
        elif not is_silent:
            what = f"the stream was cut after {ended - last:.0f} s of silence, before a heartbeat, due each {beat:g} s"
            self._found.add("cut", what, _BEAT_SOONER.format(max(1, int((ended - last) / 2))))
        else:
            what = f"the stream began, and no heartbeat came within {ended:.0f} s: something holds small pieces back"
            self._found.add("buffered", what, _DO_NOT_BUFFER)

    def _check_epoch(self, beginning: bytes, epoch: str) -> None:
        """Whether its ids are of the log that was looked into."""
        found = re.search(rb"^id: (.+)-\d+", beginning, re.MULTILINE)
        other = found[1].decode("ascii", "replace") if found else epoch
        if other != epoch:
            what = f"the stream is of another log: its epoch is {other}, and that of the log here is {epoch}"
            self._found.add("other-log", f"{what}. What is emitted here is not heard there", _ONE_LOG)

    def _check_compression(self, response: httpx.Response) -> None:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            what = f"something compresses the stream ({encoding}): it costs memory for each, and may hold messages back"
            self._found.add("compressed", what, "leave text/event-stream out of what is compressed (nginx: gzip_types)")

    async def _answers(self, http: httpx.AsyncClient, streams: int) -> list[str]:
        """Why each of so many streams at once is refused, as when pages come back together; empty if it is not."""
        async with AsyncExitStack() as opened:
            return await asyncio.gather(*(self._open(http, opened) for _ in range(streams)))

    async def _open(self, http: httpx.AsyncClient, opened: AsyncExitStack) -> str:
        try:
            request = http.build_request("GET", self._url, headers=self._headers)
            response = await http.send(request, stream=True)
            opened.push_async_callback(response.aclose)
            return "" if response.status_code == 200 else refusal_of(response, await text_of(response, self._seconds))
        except httpx.TimeoutException:
            return _NO_ANSWER
        except FAILURES as error:
            return str(error) or type(error).__name__

    def _judge_crowd(self, answers: list[str]) -> None:
        """Behind what buffers a stream, one that is not answered is not refused."""
        refused = [answer for answer in answers if answer]
        self._found.facts["at once"] = f"{len(answers) - len(refused)} of {len(answers)} streams"
        if any(finding.check == "buffered" for finding in self._found.wrong):
            refused = [answer for answer in refused if answer != _NO_ANSWER]
        if refused:
            what = f"of {len(answers)} streams at once {len(refused)} were refused: {refused[0]}"
            self._found.add("limited", what, _MORE_ROOM)


_NO_ANSWER: Final = "no answer came in time"
_HELD_BACK: Final = (
    "nothing of the stream came within {:.1f} s, though a request that ends is answered: something buffers it"
)
_BEAT_SOONER: Final = (
    "set NITRO_HEARTBEAT_SECONDS to {}, or raise the timeout of what cuts it (nginx: proxy_read_timeout)"
)
_ONE_LOG: Final = "give the application and this command one NITRO_BROKER_URL and one NITRO_NAMESPACE"
_SHARE: Final = "let a proxy with TLS speak HTTP/2, or use Nitro's browser client, in which all tabs share one stream"
_DO_NOT_BUFFER: Final = (
    "switch buffering off there (nginx: proxy_buffering off; and no proxy_ignore_headers X-Accel-Buffering); "
    "https://nitro-realtime.github.io/nitro/how-to/deploy-behind-a-proxy/ has recipes"
)
_MORE_ROOM: Final = (
    "if uvicorn has --limit-concurrency, leave it out: it counts each open stream; NITRO_MAX_CLIENTS limits them. "
    "If Nitro refuses, its detail names the limit"
)
