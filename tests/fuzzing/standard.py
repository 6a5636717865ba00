"""What a browser reads, by the text of the standards and without a line of Nitro: the judge of everything that is sent.

Server-sent events are the WHATWG HTML standard's, section 9.2.6, query strings the URL standard's, section 5.1, and
JSON is RFC 8259's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

_LINE_END = re.compile("\r\n|\r|\n")


class Event(NamedTuple):
    """What a page is given: the type, the data, and the last event id."""

    type: str
    data: str
    last_id: str


@dataclass
class Reading:
    """What was read of a stream.

    Attributes:
        events: those that were dispatched.
        last_id: what a browser would come back with.
        retry: milliseconds, if the stream said so.
        is_between_events: whether nothing is left that would become part of another event.
    """

    events: list[Event] = field(default_factory=list)
    last_id: str = ""
    retry: int | None = None
    is_between_events: bool = True


def read(stream: bytes, last_id: str = "") -> Reading:
    """The events of a stream, for a browser that came with that id."""
    found = Reading(last_id=last_id)
    data = kind = ""
    id_buffer = last_id
    *lines, rest = _LINE_END.split(stream.decode("utf-8", "replace").removeprefix("\ufeff"))
    for line in lines:
        if not line:
            found.last_id = id_buffer
            if data:
                found.events.append(Event(kind or "message", data.removesuffix("\n"), id_buffer))
            data = kind = ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            id_buffer = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            found.retry = int(value)
    found.is_between_events = not rest and not data and not kind
    return found


def with_line_ends_of_a_browser(text: str) -> str:
    r"""All line ends become `\n`; nothing else changes."""
    return _LINE_END.sub("\n", text)


def read_json(text: bytes) -> Any:
    """The value, as a browser reads it; NaN and infinity are none."""
    return json.loads(text.decode(), parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def pairs(query: bytes) -> list[tuple[str, str]]:
    """The names and values of a query string."""
    return [_pair(part) for part in query.split(b"&") if part]


def _pair(part: bytes) -> tuple[str, str]:
    name, _, value = part.partition(b"=")
    return _decoded(name), _decoded(value)


def _decoded(text: bytes) -> str:
    spaced = text.replace(b"+", b" ")
    plain = re.sub(b"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), spaced)
    return plain.decode("utf-8", "replace")
