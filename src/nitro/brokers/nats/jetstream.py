"""The stream that a log in NATS is, or is next.

Streams of one log are numbered in their names, so that all who make the next one make the same, and whoever ends one
ends no later one. A server by itself takes several at once that have one subject, so each who made one looks again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from nitro.brokers.base import Retention
from nitro.errors import ConfigurationError

__all__ = ["ANSWER_SECONDS", "Stall", "Stalled", "Streams", "api_refusal", "epoch"]

ANSWER_SECONDS: Final = 4.5
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
"""Error of JetStream's that stays → what to do. A stream reserves what it may hold, for each replica."""
_UNSTALL: Final = (
    "JetStream answers, and acknowledges nothing: its disk is full, or was. Make room on it, and start nats-server "
    "again; it takes nothing before that"
)
_PASSING_SECONDS: Final = 1.0
"""For how long a stream may say nothing to what is published, and yet go on by itself."""
_PROBE_SECONDS: Final = 0.3
"""How long a stream may take to say that it is there, when it has not acknowledged in time."""
_RETAINED: Final = ("max_msgs", "max_bytes", "max_age", "duplicate_window")


class Stalled(ConnectionError):
    """A stream that is there says nothing to what is published.

    Attributes:
        remedy: what is wrong and what to do, if it has been so for too long to pass; else None.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("JetStream answers, and says nothing to what is published")
        self.remedy = _UNSTALL if seconds > _PASSING_SECONDS else None


class Stall:
    """Since when a stream that is there says nothing to what is published.

    nats-server 2.15 goes on so after a full disk until it is started again; 2.12 says that it is full, and recovers.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def end(self) -> None:
        """Something was acknowledged."""
        self._since = None

    async def judge(self, error: Exception, nats: Client, stream: str) -> Exception:
        """What it is that nothing was said to a batch: `Stalled`, or that error, if the stream may be elsewhere."""
        try:
            info = await nats.jetstream(timeout=_PROBE_SECONDS).stream_info(stream)
        except NatsError:
            return error
        if info.cluster is not None and info.cluster.replicas:  # they may be about to choose another leader
            return error
        now = time.monotonic()
        self._since = self._since or now
        return Stalled(now - self._since)


class Streams:
    """The streams of one namespace; there is one at a time.

    Args:
        namespace: is in their names and subjects.
        retention: what one of ours keeps.
        storage: where the first one is made.
        replicas: how many it has.

    Attributes:
        subjects: what they listen to.
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
        """Where a producer publishes."""
        return self.subjects.replace("*", producer)

    async def find(self, nats: Client) -> StreamInfo:
        """The stream, made if there is none, with the retention that is set now if it is one of ours."""
        names = await self._names(nats)
        if not names:
            return await self._make(nats, self._config, 1)
        jetstream = _jetstream(nats)
        info = await jetstream.stream_info(names[0])
        if not info.config.allow_atomic:
            raise ConfigurationError(f"its stream {names[0]} doesn't allow atomic publishing (allow_atomic)")
        if info.config.no_ack:
            raise ConfigurationError(f"its stream {names[0]} acknowledges nothing (no_ack)")
        wanted = info.config.evolve(**{name: getattr(self._config, name) for name in _RETAINED})
        if self._number(names[0]) and info.config != wanted:
            info = await jetstream.update_stream(wanted)
        return info

    async def succeed(self, nats: Client, name: str) -> None:
        """End the stream of that name and make the next one, unless somebody else has done so."""
        jetstream = _jetstream(nats)
        try:
            info = await jetstream.stream_info(name)
            await jetstream.delete_stream(name)
        except NotFoundError:
            return
        await self._make(nats, info.config, self._number(name) + 1)

    async def _make(self, nats: Client, config: StreamConfig, number: int) -> StreamInfo:
        """The stream of that number, which others may make at the same moment."""
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
            raise ConnectionError("somebody else makes a stream for it")
        return await jetstream.stream_info(name)

    async def _names(self, nats: Client) -> list[str]:
        question = json.dumps({"subject": self.subjects}).encode()
        try:
            answer = await nats.request("$JS.API.STREAM.NAMES", question, timeout=ANSWER_SECONDS)
        except NoRespondersError:
            if len(nats.servers) > 1:  # another one of its cluster may have it, and be away
                raise ConnectionError("JetStream doesn't answer; is it on (nats-server -js)?") from None
            raise ConfigurationError("JetStream is not on in its server; start it with nats-server -js") from None
        except NatsTimeoutError:
            raise TimeoutError(
                "JetStream doesn't answer; a server in a cluster whose disk was full needs to be started again"
            ) from None
        found = json.loads(answer.data)
        if "error" in found:
            APIError.from_error(found["error"])  # raises it
        return sorted(found.get("streams") or ())

    def _number(self, name: str) -> int:
        """Of a stream that we made, in its name; 0 of another one."""
        ours = re.fullmatch(rf"nitro_{re.escape(self._namespace)}_([0-9]+)", name)
        return int(ours[1]) if ours else 0


def api_refusal(error: APIError) -> str | None:
    """What is wrong and what to do, if waiting won't help against this answer of JetStream's; else None."""
    code, description = error.err_code or 0, error.description or ""
    if code == _NO_PEERS and ("insufficient" not in description or "offline" in description):
        return None  # one that has the room may come
    remedy = _REMEDIES.get(code)
    return remedy and f"the server says: {description}. So {remedy}"


def epoch(info: StreamInfo) -> str:
    """Of a stream, which may be made again: its name and when it was made."""
    return hashlib.sha256(f"{info.config.name} {info.created}".encode()).hexdigest()[:10]


def _jetstream(nats: Client) -> JetStreamContext:
    return nats.jetstream(timeout=ANSWER_SECONDS)
