"""Logs in which anybody wrote to Nitro's own topics: nobody hears it, and only an order to dismiss ends a client."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field

from nitro import ANY, Client, EventSourceResponse, Grant
from nitro.brokers import codec
from nitro.brokers.base import NOWHERE, Entry, Extent, Retention
from nitro.brokers.follower import Follower
from nitro.brokers.history import History
from nitro.delivery.hub import Hub
from nitro.messages.message import Position
from tests.fuzzing import grammar
from tests.fuzzing.exchange import Exchange, own_hub, run
from tests.fuzzing.standard import read
from tests.fuzzing.supply import SEPARATOR, Supply

_TOPICS = ("nitro.dismissal", "nitro", "nitro.stream", "nitro.dismissal.a", "Nitro.dismissal", "nitrox", "a.b", "ANY")
"""Of an entry whose first byte is its place here; any other entry is as it is."""
_USERS = (None, "7", "é", "nobody", "None")
_RETENTION = Retention(max_messages=100, max_bytes=1 << 20, max_age_seconds=60.0)
_MAX_PAYLOAD_BYTES = 200
_MAX_ENTRIES = 12
_PLACE = Position("one", 1)
_MARK = "the.mark"
_NEVER = b"\xff"
_STREAM = "nitro.stream"
"""What the browser client is told of its stream, in an envelope."""


def control(data: bytes) -> None:
    """How many of the entries are there before the log is reached, and then the entries."""
    supply = Supply(data)
    retained = supply.below(4)
    entries = _once([_written(body) for body in supply.rest().split(SEPARATOR)[:_MAX_ENTRIES]])
    with own_hub() as hub:
        run(_follow(hub, entries[:retained], entries[retained:]))


def _written(body: bytes) -> bytes:
    if not body or body[0] >= len(_TOPICS):
        return body
    return json.dumps([1, _TOPICS[body[0]], None, None]).encode() + b"\n" + body[1:]


def _once(bodies: list[bytes]) -> list[bytes]:
    """Without those of an idempotency key that came before: which of them count, the target `broker` judges."""
    kept: list[bytes] = []
    keys: set[str] = set()
    for body in bodies:
        with suppress(ValueError):
            codec.decode(body, _PLACE, len(body))
            mark = codec.idempotency_key_of(body)
            if mark is not None and mark.key in keys:
                continue
            keys.update([] if mark is None else [mark.key])
        kept.append(body)
    return kept


@dataclass(frozen=True)
class _Meaning:
    """What an entry means to clients.

    Attributes:
        topic: of what they hear.
        user_id: whose clients end.
        is_lost: it may be an order that can't be read, so those of all users end.
    """

    topic: str | None = None
    user_id: str | None = None
    is_for_good: bool = False
    is_lost: bool = False

    @classmethod
    def of(cls, body: bytes) -> _Meaning:
        try:
            message = codec.decode(body, _PLACE, _MAX_PAYLOAD_BYTES)
        except codec.Unreadable:
            return cls(is_lost=True)
        except ValueError:
            return cls()
        if message.topic != "nitro.dismissal":
            assert grammar.is_topic(message.topic), "it is no topic of an application's"
            return cls(message.topic)
        try:
            order = json.loads(message.payload)
        except (ValueError, RecursionError):
            return cls()
        match order:
            case {"user_id": str(user_id), "for_good": bool(for_good), **others} if not others:
                return cls(user_id=user_id, is_for_good=for_good)
        return cls()


@dataclass
class _Page:
    """A browser with a stream of everything, in an envelope.

    Attributes:
        heard: the topics of what it has to hear.
        is_over: its stream was ended, and not by itself.
        stays_away: and it was told not to come back.
    """

    user_id: str | None
    heard: list[str] = field(default_factory=lambda: [_STREAM])
    is_over: bool = False
    stays_away: bool = False

    def __post_init__(self) -> None:
        self.client = Client(topics=ANY, user_id=self.user_id)
        self.exchange = Exchange(b"envelope=1")
        self.task = self.exchange.begin(EventSourceResponse(self.client))

    async def check(self, mark: bytes) -> None:
        """It has all that came, and nothing else; or it is over."""
        if self.is_over:
            await self.exchange.body_with(_NEVER)
            self.exchange.gone.set()
            await self.task
            assert not self.client.is_connected
        else:
            await self.exchange.body_with(mark)
            assert self.client.is_connected, "who was not meant is ended"
        reading = read(self.exchange.body)
        topics = [event.data.partition("\n")[0] for event in reading.events if event.type == "message"]
        assert topics == self.heard + [_STREAM] * self.is_over
        assert (reading.last_id == "stop") == self.stays_away


async def _follow(hub: Hub, retained: list[bytes], entries: list[bytes]) -> None:
    began = time.monotonic()
    follower = Follower(History(NOWHERE, _RETENTION), hub._lock, _MAX_PAYLOAD_BYTES)
    follower.start(hub)
    follower.go_on_in(Extent("one", 1, len(retained)), _RETENTION.max_messages)
    follower.take([Entry(sequence, body, 0.0) for sequence, body in enumerate(retained, 1)])
    follower.begin()
    hub.admission._floor = began  # nothing was missed: the hub was open before, with a log of its own
    is_lost = False
    dismissed = {meaning.user_id for meaning in map(_Meaning.of, retained)} - {None}
    pages = [_Page(user_id) for user_id in _USERS if user_id not in dismissed]
    for page in pages:
        await page.exchange.body_with(b"\n\n")
    for sequence, body in enumerate(entries, len(retained) + 1):
        follower.take([Entry(sequence, body, 0.0)])
        meaning = _Meaning.of(body)
        dismissed |= {meaning.user_id} - {None}
        is_lost |= meaning.is_lost
        mark = b'{"mark":%d}' % sequence
        hub.publish(_MARK, None, mark)
        for page in pages:
            if page.is_over:
                continue
            is_meant = page.user_id is not None and (meaning.is_lost or meaning.user_id == page.user_id)
            page.is_over, page.stays_away = is_meant, is_meant and meaning.is_for_good
            if not is_meant:
                page.heard += [*filter(None, [meaning.topic]), _MARK]
            await page.check(mark)
    for user_id in _USERS:
        late = Client(topics=ANY, grant=Grant(ANY, user_id=user_id, read_at=began))
        late.connect()
        is_refused = user_id is not None and (is_lost or user_id in dismissed)
        assert late.is_connected != is_refused, "its rights are older than the order, or than what may be one"
        late.disconnect()
    for page in pages:
        page.exchange.gone.set()
        await page.task
