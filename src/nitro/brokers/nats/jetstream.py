"""The JetStream stream of a log, and its successors.

A log's streams have numbers in their names, so that all processes create the same successor, and none deletes a later
stream. A server accepts streams with one subject that are created at the same moment, so each creator checks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from nitro.brokers.base import Retention
from nitro.errors import ConfigurationError

__all__ = [
    "ANSWER_SECONDS",
    "Stall",
    "Stalled",
    "Streams",
    "api_refusal",
    "check_leader",
    "epoch",
    "first_answer",
    "leader_of",
    "stream_info",
]

T = TypeVar("T")

ANSWER_SECONDS: Final = 4.5
_AGAIN_SECONDS: Final = 0.5
"""How long an answer is waited for until the question is asked again."""
_NAME_IN_USE: Final = 10058
_SUBJECTS_OVERLAP: Final = 10065
_NO_PEERS: Final = 10005
_OR_LESS: Final = "or lower NITRO_HISTORY_BYTES"
_REMEDIES: Final = {
    _NO_PEERS: f"let JetStream have more (max_file_store, max_mem) on as many servers, {_OR_LESS}",
    10027: "let its account have more streams (max_streams)",
    10028: f"let JetStream have more memory (max_mem, and max_mem of its account), {_OR_LESS}",
    10039: "turn JetStream on for its account, or take another user",
    10047: f"let JetStream have more disk (max_file_store, and max_file of its account), {_OR_LESS}",
    10074: "leave replicas out of NITRO_BROKER_URL, or name a cluster",
    10076: "turn JetStream on (nats-server -js)",
    10122: f"let its account have larger streams (disk_max_stream_bytes, mem_max_stream_bytes), {_OR_LESS}",
}
"""Code of a permanent JetStream error → remedy. A stream reserves its maximum size, for each replica."""
_UNSTALL: Final = (
    "JetStream answers, and acknowledges nothing: its disk is full, or was. Free space on it and restart nats-server, "
    "which accepts nothing before that"
)
_PASSING_SECONDS: Final = 1.0
"""How long a stream may leave publishes unanswered and still recover by itself."""
_PROBE_SECONDS: Final = 0.3
"""Timeout for a stream's info after it has not acknowledged in time."""
_ELECTION_SECONDS: Final = 4.0
"""After so long without a leader, nats-server's replicas elect another one, at the earliest."""
_RETAINED: Final = ("max_msgs", "max_bytes", "max_age", "duplicate_window")


async def first_answer(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The first answer to a question that is asked again and again, while all that were asked are waited for.

    While a cluster elects a leader its servers drop what they are asked. So it is answered as soon as there is one, and
    by a slow server too.

    Raises:
        TimeoutError: it wasn't answered within `ANSWER_SECONDS`.
    """
    asked: list[asyncio.Task[T]] = []
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                asked.append(asyncio.create_task(ask()))
                done, _ = await asyncio.wait(asked, timeout=_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    return done.pop().result()
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def stream_info(jetstream: JetStreamContext, name: str) -> StreamInfo:
    """What a stream's leader says of it; raises `ConnectionError` if there may be another leader."""
    info = await first_answer(partial(jetstream.stream_info, name))
    check_leader(info)
    return info


def check_leader(info: StreamInfo) -> None:
    """Check that a leader has heard of most replicas before another one could be elected. One that was frozen answers
    from what it knew, until it learns that there is another one.

    Raises:
        ConnectionError: it hasn't.
    """
    peers = (info.cluster and info.cluster.replicas) or ()
    heard = sum((peer.active or 0) < _ELECTION_SECONDS * 1e9 for peer in peers)
    if 2 * (heard + 1) <= len(peers) + 1:
        raise ConnectionError("its leader has not heard of the other servers for seconds: there may be another leader")


class Stalled(ConnectionError):
    """A reachable stream does not answer publishes.

    Attributes:
        remedy: what is wrong and the remedy, if it has lasted too long to recover; else None.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("JetStream answers requests, but not publishes")
        self.remedy = _UNSTALL if seconds > _PASSING_SECONDS else None


class Stall:
    """Since when a reachable stream has not answered publishes.

    After a full disk, nats-server 2.15 stays like this until it is restarted; 2.12 reports the full disk, and recovers.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def end(self) -> None:
        """A publish was acknowledged."""
        self._since = None

    async def judge(self, error: Exception, nats: Client, stream: str) -> Exception:
        """The error for an unanswered batch: `Stalled`, or `error` if the stream is unreachable or may fail over."""
        try:
            info = await nats.jetstream(timeout=_PROBE_SECONDS).stream_info(stream)
        except NatsError:
            return error
        if info.cluster is not None and info.cluster.replicas:  # they may be electing a leader
            return error
        now = time.monotonic()
        self._since = self._since or now
        return Stalled(now - self._since)


class Streams:
    """The streams of one namespace; there is one at a time.

    Args:
        namespace: part of their names and subjects.
        retention: limits of those that Nitro creates.
        storage: of the first one.
        replicas: of the first one.

    Attributes:
        subjects: the wildcard subject of their messages.
    """

    def __init__(self, namespace: str, retention: Retention, storage: StorageType, replicas: int) -> None:
        self.subjects: str = f"nitro.{namespace}.*"
        self._namespace = namespace
        self._config = StreamConfig(
            subjects=[self.subjects],
            max_msgs=retention.max_messages,
            max_bytes=retention.max_bytes,
            max_age=retention.max_age_seconds,
            duplicate_window=min(120.0, retention.max_age_seconds),  # unused, but it must not be longer
            storage=storage,
            num_replicas=replicas,
            allow_atomic=True,
        )

    def subject(self, producer: str) -> str:
        """The subject of a producer."""
        return self.subjects.replace("*", producer)

    async def find(self, nats: Client) -> StreamInfo:
        """Find or create the stream; one that Nitro created gets the current retention."""
        names = await self._names(nats)
        if not names:
            return await self._make(nats, self._config, 1)
        jetstream = _jetstream(nats)
        info = await stream_info(jetstream, names[0])
        if not info.config.allow_atomic:
            raise ConfigurationError(f"its stream {names[0]} doesn't allow atomic publishing (allow_atomic)")
        if info.config.no_ack:
            raise ConfigurationError(f"its stream {names[0]} acknowledges nothing (no_ack)")
        wanted = info.config.evolve(**{name: getattr(self._config, name) for name in _RETAINED})
        if self._number(names[0]) and info.config != wanted:
            info = await first_answer(partial(jetstream.update_stream, wanted))
        return info

    async def succeed(self, nats: Client, name: str) -> None:
        """Delete the stream `name` and create its successor, unless another process has done so."""
        jetstream = _jetstream(nats)
        try:
            info = await jetstream.stream_info(name)
            await jetstream.delete_stream(name)
        except NotFoundError:
            return
        await self._make(nats, info.config, self._number(name) + 1)

    async def _make(self, nats: Client, config: StreamConfig, number: int) -> StreamInfo:
        """Create the stream of that number, which other processes may create at the same moment."""
        name = f"nitro_{self._namespace}_{number}"
        jetstream = _jetstream(nats)
        try:
            await jetstream.add_stream(config.evolve(name=name))
        except APIError as error:
            if error.err_code not in (_NAME_IN_USE, _SUBJECTS_OVERLAP):
                raise
        if await self._names(nats) != [name]:
            with contextlib.suppress(NotFoundError):
                await jetstream.delete_stream(name)
            raise ConnectionError("another process is creating its stream")
        return await jetstream.stream_info(name)

    async def _names(self, nats: Client) -> list[str]:
        question = json.dumps({"subject": self.subjects}).encode()
        try:
            answer = await first_answer(lambda: nats.request("$JS.API.STREAM.NAMES", question, timeout=ANSWER_SECONDS))
        except NoRespondersError:
            if len(nats.servers) > 1:  # one that has it may be unreachable
                raise ConnectionError("JetStream doesn't answer; is it on (nats-server -js)?") from None
            raise ConfigurationError("JetStream is not on in its server; start it with nats-server -js") from None
        except TimeoutError:  # nats-py's is one
            raise TimeoutError(
                "JetStream doesn't answer; a server in a cluster whose disk was full needs a restart"
            ) from None
        found = json.loads(answer.data)
        if "error" in found:
            APIError.from_error(found["error"])  # raises it
        return sorted(found.get("streams") or ())

    def _number(self, name: str) -> int:
        """The number in the name of a stream that Nitro created; 0 for another one."""
        ours = re.fullmatch(rf"nitro_{re.escape(self._namespace)}_([0-9]+)", name)
        return int(ours[1]) if ours else 0


def api_refusal(error: APIError) -> str | None:
    """What is wrong and the remedy, if this JetStream error is permanent; else None."""
    code, description = error.err_code or 0, error.description or ""
    if code == _NO_PEERS and ("insufficient" not in description or "offline" in description):
        return None  # one with enough space may join
    remedy = _REMEDIES.get(code)
    return remedy and f"the server says: {description}. So {remedy}"


def epoch(info: StreamInfo) -> str:
    """A log's epoch: a digest of its stream's name and creation time."""
    return hashlib.sha256(f"{info.config.name} {info.created}".encode()).hexdigest()[:10]


def leader_of(info: StreamInfo) -> tuple[str | None, datetime | None]:
    """The server that leads a stream, and since when, as far as that is told."""
    cluster = info.cluster
    return (None, None) if cluster is None else (cluster.leader, cluster.leader_since)


def _jetstream(nats: Client) -> JetStreamContext:
    return nats.jetstream(timeout=ANSWER_SECONDS)
