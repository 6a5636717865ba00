"""Session: what a listener does with each event and each failure. Pure: no I/O, no clock.

Fed by the listener, which reads a stream; decides what its user hears, what the next attempt asks for, how long to wait
before it, how much silence is too much, and when there is no hope. The rules are those of the browser client
(`js/src/stream.ts`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, cast

from pydantic_core import from_json

from nitro.chance import CHANCE
from nitro.client.ids import is_known, is_known_item, is_one_log
from nitro.errors import StreamRefused
from nitro.messages.heard import Heard
from nitro.messages.message import Gap, GapReason, Position
from nitro.messages.reading import Reading

__all__ = ["Session"]

_OPENS_WITHIN_SECONDS: Final = 20.0
_SILENT_HEARTBEATS: Final = 2.5
_LONGEST_BACKOFF_SECONDS: Final = 30.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
_PASSING: Final = frozenset({408, 425, 429})
"""Answers that may be others the next time, besides 5xx."""
_PASSING_LATER: Final = frozenset({200, 404, 421})
"""What a proxy answers in place of a server that was there before."""
_MOST_IN_URL: Final = 4000
"""So many characters of topics fit into any URL; a header has room for as many."""
_PARCEL: Final = re.compile(r"[^,].{0,3998}(?=,|$)")
"""Whole topics with commas between them, as many as fit into a header."""
_REASONS: Final = {
    200: "the answer is no stream of Nitro's; the endpoint has to return EventSourceResponse",
    204: "the server has stopped this stream",
    401: "the request is not authenticated; pass headers with a valid token",
    403: "the server doesn't let this client hear what it asks for",
    414: "too many topics for a URL, and the endpoint doesn't read them from headers; there, use requested_topics",
    419: "the stream is for another user than before; listen anew for this one",
}
"""419 is nobody's status; here it says that the stream is for another user than before, as in the browser client."""
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class Session:
    """The state of a stream over all its connections.

    Args:
        topics: patterns to ask for; None leaves it to the server.
        last_event_id: where to start; empty for now.
        text: leave data as it is sent.
        reading: the events whose messages alone are heard, and by whose schemas.
        random: between 0 and 1, for jitter.

    Attributes:
        last_event_id: the id of the newest message.
        is_over: whether a run's end was heard: nothing more will come.
    """

    def __init__(
        self,
        topics: list[str] | None,
        last_event_id: str = "",
        *,
        text: bool = False,
        reading: Reading[Any] | None = None,
        random: Callable[[], float] = CHANCE.random,
    ) -> None:
        self.last_event_id: str = last_event_id
        self.is_over: bool = False
        self._topics = topics or []
        self._text = text
        self._reading = reading
        self._random = random
        self._in_headers = len("&topic=".join(self._topics)) > _MOST_IN_URL
        self._audience = ""
        self._attempt = 0
        self._retry_seconds = 2.0
        self._heartbeat_seconds = 15.0
        self._wait_at_end: float | None = None
        self._is_greeted = False
        self._was_open = False
        self._is_run = False
        self._id_of_line = ""

    @property
    def is_open(self) -> bool:
        """Whether the current connection has been greeted by the server."""
        return self._is_greeted

    @property
    def silence_seconds(self) -> float:
        """The connection is dead if nothing comes for so long."""
        return max(1.0, self._heartbeat_seconds * _SILENT_HEARTBEATS) if self._is_greeted else _OPENS_WITHIN_SECONDS

    def begin(self, headers: Mapping[str, str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
        """Another attempt: the query parameters to add to the URL, and the headers, of which `headers` are a part."""
        self._is_greeted = False
        self._wait_at_end = None
        self._id_of_line = ""
        own = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_event_id:
            own["Last-Event-ID"] = self.last_event_id
        parameters = [("envelope", "1")]
        if self._in_headers:
            parcels = _PARCEL.findall(",".join(self._topics))
            own |= {f"Nitro-Topics-{place}": parcel for place, parcel in enumerate(parcels, 1)}
        else:
            parameters += [("topic", topic) for topic in self._topics]
        return parameters, {**headers, **own}

    def refusal(self, status: int, retry_after: str, problem: bytes) -> StreamRefused:
        """Why there is no stream, from the status, the header `Retry-After` and the body of an answer."""
        seconds = float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 0.0
        return _refused(status, _detail(problem), min(seconds, _LONGEST_RETRY_AFTER_SECONDS))

    def hear(self, kind: str, data: str, id: str) -> Heard | Gap | None:
        """What the user hears of an event, if anything. `kind` is its name, `id` the last id on this connection.

        Raises:
            StreamRefused: the stream ends here; `wait_seconds` decides what that means.
        """
        own_id, self._id_of_line = "" if id == self._id_of_line else id, id or self._id_of_line
        if kind == "gap":
            gap = _parsed(data)
            return self._lose(gap["reason"], gap["resumed_at"])
        topic, newline, text = data.partition("\n")
        if not newline:
            topic, text = "", data
        if topic == "nitro.stream":
            return self._control(_parsed(text), id)
        if not self._is_greeted:
            raise _refused(200)
        if not topic:
            self.is_over = self.is_over or kind == "end"
            return self._without_topic(text, own_id)  # an id holds until the next one, so it may be another's
        if id:
            if is_known(id, self.last_event_id):
                return None
            self.last_event_id = id
        if self._reading is not None:
            return self._reading.read(topic, text, id or None)
        return Heard(topic, self._value(text), id or None)

    def _without_topic(self, text: str, id: str) -> Heard | None:
        """An item of a run, which has an id of its own; else a run's end, or what was sent to this client alone."""
        if id:
            if is_known_item(id, self.last_event_id):
                return None
            self.last_event_id = id
            self._is_run = True
        return Heard("", self._value(text), id or None) if self._reading is None else None

    def wait_seconds(self, refused: StreamRefused | None = None) -> float:
        """How long to wait before the next attempt, after an answer that is no stream, or after a stream's end.

        Raises:
            StreamRefused: there is no hope.
        """
        if refused is not None and not self._is_passing(refused.status):
            raise refused
        if refused is None and self._wait_at_end is not None:
            wait = self._wait_at_end
        else:
            wait = self._random() * min(_LONGEST_BACKOFF_SECONDS, self._retry_seconds * 2 ** min(self._attempt, 30))
        if refused is not None and refused.retry_after_seconds:
            wait += refused.retry_after_seconds + self._retry_seconds * self._random()
        self._attempt += 1
        return wait

    def _is_passing(self, status: int) -> bool:
        if status == 404 and self._is_run:
            return False  # it was kept for as long as it was
        return status >= 500 or status in _PASSING or (self._was_open and status in _PASSING_LATER)

    def _control(self, news: dict[str, Any], id: str) -> Gap | None:
        """A message of the stream's own: greeting, heartbeat, last bytes."""
        if news.get("stop"):
            raise _refused(204)
        gap = None
        if heartbeat := news.get("heartbeat"):
            if self._in_headers and not news.get("topics"):
                raise _refused(414)
            self._heartbeat_seconds = float(heartbeat)
            self._retry_seconds = news["retry"] / 1000 if news.get("retry") else self._retry_seconds
            self._is_greeted = self._was_open = True
            self._attempt = 0
            gap = self._greeted(news.get("for", "-"))
        elif retry := news.get("retry"):
            self._wait_at_end = retry / 1000
        if id and self.last_event_id and not is_one_log(id, self.last_event_id):
            return self._lose("epoch", id)
        if id and not is_known(id, self.last_event_id):
            self.last_event_id = id
        return gap

    def _greeted(self, audience: str) -> Gap | None:
        """The stream is for `audience`: a user if it begins with `u`, else a digest of what the server decided."""
        before, self._audience = self._audience, audience
        if not before or before == audience:
            return None
        if before.startswith("u"):
            raise _refused(419)
        return Gap("rights", _position(self.last_event_id)) if self.last_event_id else None

    def _lose(self, reason: str, resumed_at: str) -> Gap | None:
        if is_known(resumed_at, self.last_event_id):
            return None
        is_new, self.last_event_id = not self.last_event_id, resumed_at
        return None if is_new else Gap(cast("GapReason", reason), _position(resumed_at))

    def _value(self, text: str) -> Any:
        if self._text:
            return text
        try:
            return from_json(text)
        except ValueError:
            return text

    def __repr__(self) -> str:
        state = "open" if self._is_greeted else "not open"
        return f"<Session {state}, at {self.last_event_id or 'no id'}, attempt {self._attempt}>"


def _refused(status: int, detail: str = "", retry_after_seconds: float = 0.0) -> StreamRefused:
    return StreamRefused(
        status, detail or _REASONS.get(status) or _PHRASES.get(status, "no reason"), retry_after_seconds
    )


def _detail(problem: bytes) -> str:
    """The detail of a problem (RFC 9457), or what FastAPI answers."""
    try:
        body = from_json(problem)
    except ValueError:
        return ""
    detail = body.get("detail") if isinstance(body, dict) else None
    return detail if isinstance(detail, str) else ""


def _parsed(text: str) -> dict[str, Any]:
    """What a notice of the stream's own says."""
    try:
        found = from_json(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _refused(200)
    return found


def _position(id: str) -> Position:
    return Position.parse(id) or Position("none", 0)
