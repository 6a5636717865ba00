"""The JetStream stream of a NATS store: made if it is not there, and asked for messages and subjects."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any, Final

from nats.aio.msg import Msg
from nats.js.api import RePublish, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from nitro.brokers.nats.client import Place
from nitro.brokers.nats.jetstream import ANSWER_SECONDS, api_refusal
from nitro.errors import ConfigurationError
from nitro.streams.stores.nats.link import NOTHING, Link, Request, status_of
from nitro.streams.stores.nats.messages import Message
from nitro.streams.stores.nats.subjects import Subjects

__all__ = ["JetStream", "found"]

_API: Final = "$JS.API.STREAM"
_DIRECT: Final = "$JS.API.DIRECT.GET"
_WRONG_LAST: Final = (10071, 10164)
_BATCH: Final = 1_000
"""The longest batch that the server accepts."""
_BATCH_BYTES: Final = 4 * 1024 * 1024
_SEQUENCE: Final = "Nats-Sequence"
_NAME_IN_USE: Final = 10058
_OLDEST_SERVER: Final = (2, 12)
_MULTIPLE: Final = 100
"""Subjects in one request: with the longest ones it is not longer than the server accepts."""
_NEEDED: Final = ("allow_atomic", "allow_direct", "allow_rollup_hdrs", "allow_msg_ttl")


class JetStream:
    """The stream of one namespace, over one connection.

    Attributes:
        name: of the stream.
        link: the connection.
        is_replicated: whether several servers have it, of which one, its leader, takes what is stored.
    """

    def __init__(self, namespace: str, subjects: Subjects, place: Place, link: Link) -> None:
        self.name: str = f"nitro_{namespace}_streams"
        self.link: Link = link
        self._subjects = subjects
        self._config = StreamConfig(
            name=self.name,
            subjects=[subjects.all],
            storage=place.storage,
            num_replicas=place.replicas,
            allow_direct=True,
            allow_atomic=True,
            allow_rollup_hdrs=True,
            allow_msg_ttl=True,
            republish=RePublish(src=subjects.all, dest=subjects.news),
        )
        self.is_replicated: bool = False

    @property
    def elections(self) -> str:
        """Where the server tells that the stream has a new leader."""
        return f"$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{self.name}"

    async def open(self) -> None:
        """Make the stream, unless it is there.

        Raises:
            ConfigurationError: the server or the stream is not fit for it.
        """
        version = self.link.client.connected_server_version
        if (version.major, version.minor) < _OLDEST_SERVER:
            raise ConfigurationError(f"it is nats-server {version}; 2.12 or newer is needed")
        jetstream = self.link.client.jetstream(timeout=ANSWER_SECONDS)
        try:
            try:
                info = await self.link.answered(jetstream.stream_info(self.name))
            except NotFoundError:
                info = await self._make(jetstream)
        except ServiceUnavailableError:
            if len(self.link.client.servers) > 1:  # those that have it may be electing a leader
                raise
            raise ConfigurationError("JetStream is not on in its server; start it with nats-server -js") from None
        except APIError as error:
            remedy = api_refusal(error)
            if remedy is None:
                raise
            raise ConfigurationError(remedy) from error
        missing = [name for name in _NEEDED if not getattr(info.config, name)]
        if info.config.republish is None:
            missing.append(f"republish of {self._subjects.all} to {self._subjects.news}")
        if missing:
            raise ConfigurationError(f"the JetStream stream {self.name} has no {', '.join(missing)}; add it there")
        self.is_replicated = (info.config.num_replicas or 1) > 1

    async def _make(self, jetstream: Any) -> StreamInfo:
        try:
            info: StreamInfo = await self.link.answered(jetstream.add_stream(self._config))
        except APIError as error:
            if error.err_code != _NAME_IN_USE:  # another process makes it
                raise
            info = await self.link.answered(jetstream.stream_info(self.name))
        return info

    async def publish(self, requests: Sequence[Request], *, as_batch: bool) -> list[int | None]:
        """Store the messages, each or, `as_batch`, all of up to a thousand or none; the sequence of each.

        None: its subject has another last message than it expects, or one of its batch has.
        """
        if not as_batch:
            return [_sequence_of(answer) for answer in await self.link.ask(requests)]
        sequences: list[int | None] = []
        batch: list[Request] = []
        size = 0
        for request in requests:
            size += len(request.payload)
            if batch and (size > _BATCH_BYTES or len(batch) == _BATCH):
                sequences += await self._publish_batch(batch)
                batch, size = [], len(request.payload)
            batch.append(request)
        return sequences + (await self._publish_batch(batch) if batch else [])

    async def _publish_batch(self, requests: Sequence[Request]) -> list[int | None]:
        if len(requests) == 1:
            return await self.publish(requests, as_batch=False)
        batch = {"Nats-Batch-Id": secrets.token_hex(8)}
        for place, (subject, payload, headers) in enumerate(requests, 1):
            numbered = {**(headers or {}), **batch, "Nats-Batch-Sequence": str(place)}
            if place < len(requests):
                await self.link.tell(subject, payload, numbered)
            else:
                final = Request(subject, payload, {**numbered, "Nats-Batch-Commit": "1"})
                (answer,) = await self.link.ask([final])
        told = json.loads(answer.data)
        error = told.get("error")
        if error is None:  # they follow each other without a gap
            return list(range(told["seq"] - len(requests) + 1, told["seq"] + 1))
        if error.get("err_code") in _WRONG_LAST:
            return [None] * len(requests)
        return await self.publish(requests, as_batch=False)  # there are too many batches now, for one

    async def newest(self, key: str) -> Message | None:
        """The newest message of a key, as the server has it that takes its commits; None if there is none."""
        question = json.dumps({"last_by_subj": self._subjects.of(key)}).encode()
        if self.is_replicated:  # others may be behind its leader
            try:
                jetstream = self.link.client.jetstream(timeout=ANSWER_SECONDS)
                raw = await self.link.answered(jetstream.get_last_msg(self.name, self._subjects.of(key)))
            except NotFoundError:
                return None
            return Message.of(raw.seq or 0, raw.headers or {}, raw.data or b"")
        (answer,) = await self.link.ask([Request(f"{_DIRECT}.{self.name}", question)])
        return None if status_of(answer) == NOTHING else found(answer)

    async def following(self, key: str, after: int, count: int, max_bytes: int) -> list[Message]:
        """The key's messages behind a sequence: so many, or fewer if they have more bytes; none if there are none, or
        if the replica that answers doesn't have them yet.
        """
        question = {"next_by_subj": self._subjects.of(key), "seq": after + 1, "batch": count, "max_bytes": max_bytes}
        request = Request(f"{_DIRECT}.{self.name}", json.dumps(question).encode())
        return [found(each) for each in await self.link.ask_for_many(request)]

    async def at_newest(self, subjects: Sequence[str]) -> list[Message]:
        """The newest message of each of the subjects, as any replica has them."""
        messages: list[Message] = []
        for place in range(0, len(subjects), _MULTIPLE):
            question = {"multi_last": subjects[place : place + _MULTIPLE]}
            request = Request(f"{_DIRECT}.{self.name}", json.dumps(question).encode())
            messages += [found(each) for each in await self.link.ask_for_many(request)]
        return messages

    async def subjects(self, wanted: str) -> list[str]:
        """The subjects that match a wildcard."""
        subjects: list[str] = []
        while True:
            question = {"subjects_filter": wanted, "offset": len(subjects)}
            answer = await self.link.ask_json(f"{_API}.INFO.{self.name}", question)
            more = answer["state"].get("subjects") or {}
            subjects += more
            if not more or len(subjects) >= answer.get("total", 0):
                return subjects

    def deletion(self, sequence: int) -> Request:
        """Delete one message."""
        question = {"seq": sequence, "no_erase": True}
        return Request(f"{_API}.MSG.DELETE.{self.name}", json.dumps(question).encode())


def found(answer: Msg) -> Message:
    """The message that a direct get answered."""
    headers = answer.headers or {}
    return Message.of(int(headers[_SEQUENCE]), headers, answer.data)


def _sequence_of(answer: Msg) -> int | None:
    """Where the server stored the message; None if another one is the last of its subject."""
    told = json.loads(answer.data)
    error = told.get("error")
    if error is None:
        return int(told["seq"])
    if error.get("err_code") in _WRONG_LAST:
        return None
    raise ConnectionError(f"JetStream: {error.get('description')}")
