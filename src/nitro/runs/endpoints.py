"""What an application calls: `start`, `open`, `stream`, `cancel` and `list`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nitro.errors import BrokerUnavailable, ConfigurationError
from nitro.events.payload import decode, encode
from nitro.events.sender import user_key
from nitro.messages.identity import Identity
from nitro.runs.errors import RunEnded, RunNotFound
from nitro.runs.frames import Framing
from nitro.runs.reader import RunReader, RunResponse
from nitro.runs.record import RunInfo, RunRecord, key_of
from nitro.runs.restarts import Restart, name_of
from nitro.runs.run import Run
from nitro.runs.service import Work, get_runs
from nitro.settings import get_settings
from nitro.sse.last_bytes import STAY_AWAY
from nitro.sse.problem import AWAY, Problem
from nitro.streams.errors import StreamError
from nitro.streams.process import loop_of_threads

__all__ = ["cancel", "list_of", "open", "start", "stream"]


async def start(
    work: Work | None = None,
    *,
    user_id: Identity | None = None,
    restart: Restart | None = None,
    data: Any = None,
    keep_seconds: float | None = None,
    max_items: int | None = None,
    max_bytes: int | None = None,
    within_seconds: float = 3600.0,
) -> Run:
    """Start a run. Its work goes on when the request that started it is over, and whether anybody reads it or not.

    Args:
        work: an async iterator, each of whose items is sent; or an async function, called with the run, that sends by
            `run.send`. The run is done when it ends, and has failed when it raises: a `RunFailed` tells readers its
            text, any other error is logged, and readers are told of an internal error. None if somebody else writes
            it: by this handle, or by `open` in a process of workers.
        user_id: whose it is: an id, or an object that has one. Only this user can read, list and cancel it. None for
            nobody's, which everybody can read who knows its id.
        restart: starts it again in any worker when its producer dies: a function that is marked `restartable`. It is
            called with the run and the items that are there already, and returns an async iterator of the rest.
            Without it, such a run is lost.
        data: what `restart` has to know, as `run.data`: anything that JSON can hold. Readers don't get it.
        keep_seconds: how long it can be read after its end; `NITRO_RUN_KEEP_SECONDS` by default.
        max_items, max_bytes: what it may hold before it fails; `NITRO_RUN_MAX_ITEMS` and `NITRO_RUN_MAX_BYTES` by
            default.
        within_seconds: without `work`: it is lost if nobody begins to write it for so long.

    Raises:
        ArgumentTypeError: `work` is nothing that writes a run, such as a plain function, which can't await `run.send`.
        ConfigurationError: a limit is no number above 0, or `restart` isn't `restartable`.
        InvalidPayload, PayloadTooLarge: `data` can't be kept.
        BrokerUnavailable: the store can't be reached.
    """
    settings = get_settings()
    record = RunRecord(
        user_id=user_key(user_id),
        started_at=time.time(),
        keep_seconds=_above_0("keep_seconds", settings.run_keep_seconds if keep_seconds is None else keep_seconds),
        lease_seconds=settings.run_lease_seconds,
        max_items=_count("max_items", settings.run_max_items if max_items is None else max_items),
        max_bytes=_count("max_bytes", settings.run_max_bytes if max_bytes is None else max_bytes),
        restart=name_of(restart),
        data=None if data is None else decode(encode(data, settings.max_payload_bytes)),
    )
    return await get_runs().start(work, record, _above_0("within_seconds", within_seconds))


def open(id: str) -> Run:
    """A handle of a run, to write or read it: in an event loop, or in a thread or a worker without one.

    Nothing happens before it is used.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = loop_of_threads()
    return Run(get_runs, id, loop)


async def stream(
    id: str,
    *,
    user_id: Identity | None = None,
    text: bool = False,
    last: str | None = None,
    headers: Mapping[str, str] | None = None,
    retry_milliseconds: int | None = None,
) -> Response:
    """A response that streams a run from its beginning, or from behind `Last-Event-ID`, as server-sent events.

    Each item is an event with JSON as its data. After the last comes an event `end` with `{"state": "done"}`, or
    `"failed"`, `"cancelled"` or `"lost"` and a `reason`; then the response ends, and the browser's next request is
    answered with 204, so that it stays away. For a run of another user, or none, it is 404. While the store can't be
    reached it is 503; an `EventSource`, which would give up at that, is told to come again.

    Args:
        id: of the run.
        user_id: who asks; has to be who it was started for.
        text: send items that are strings as they are, not as JSON.
        last: end with this as the data of an event without a name, instead of `end`: `"[DONE]"`, as OpenAI's and
            Vercel's protocols do.
        headers, retry_milliseconds: as of `EventSourceResponse`.
    """
    reader = user_key(user_id)
    runs = get_runs()
    try:
        await runs.find(id, reader)
    except RunNotFound as error:
        return _Missing(error)
    except BrokerUnavailable:
        return _Unreachable(retry_milliseconds)
    key = key_of(id)
    assert key is not None
    client = RunReader(runs.streams, key, Framing(text, last), reader)
    return RunResponse(client, headers=headers, retry_milliseconds=retry_milliseconds)


async def cancel(id: str, *, user_id: Identity | None = None) -> Response:
    """Cancel a run, wherever it is written: its work gets `CancelledError` at its next await.

    Returns a response: 200 if it is cancelled now, with the run's state as JSON; 404 if this user has no such run, 409
    if it had ended already, and 503 if the store can't be reached, each as problem details.
    """
    try:
        info = await get_runs().cancel(id, user_key(user_id))
    except (RunNotFound, StreamError) as error:
        return Problem(RunNotFound(str(error)), 404)
    except BrokerUnavailable:
        return _Unreachable()
    except RunEnded as error:
        return Problem(error, 409)
    return Response(to_json({"id": info.id, "state": info.state}), media_type="application/json")


async def list_of(*, user_id: Identity | None = None, limit: int = 100) -> list[RunInfo]:
    """The runs of a user that can be read still, the newest first, `limit` of them at most."""
    return await get_runs().list(user_key(user_id), _count("limit", limit))


def _above_0(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} is a number above 0, not {value!r}")
    return value


def _count(name: str, value: float) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1 or value % 1:
        raise ConfigurationError(f"{name} is a whole number above 0, not {value!r}")
    return int(value)


class _Missing(Problem):
    """404; or 204 for a browser that had the run's end, and comes once more."""

    def __init__(self, error: RunNotFound) -> None:
        super().__init__(error, 404)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if Request(scope).headers.get("last-event-id") == STAY_AWAY:
            await Response(status_code=204)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class _Unreachable(Problem):
    """503; or, for an `EventSource`, a stream that is over at once, so that it comes again."""

    def __init__(self, retry_milliseconds: int | None = None) -> None:
        super().__init__(AWAY)
        milliseconds = get_settings().retry_milliseconds if retry_milliseconds is None else retry_milliseconds
        self._later = Response(
            f"retry: {milliseconds}\n\n", media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wants_events = "text/event-stream" in Request(scope).headers.get("accept", "")
        if wants_events:
            await self._later(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
