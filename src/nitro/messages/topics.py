"""Topics and patterns: their grammar, and matching. Pure functions.

A topic is one or more segments of ASCII letters, digits, `_`, `-` and `:`, joined by dots, at most
255 characters in all. A pattern may also contain `*`, but not two in a row; each `*` matches one or more characters,
including dots. Matching is linear in the length of the topic: no backtracking, no regex engine.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from string import ascii_letters, digits
from typing import Final

from nitro.errors import ArgumentTypeError, InvalidTopic, TopicTypeError
from nitro.messages.identity import is_identity

__all__ = [
    "EVERY_TOPIC",
    "MAX_TOPIC_CHARS",
    "PRESENCE_OF",
    "check_handled",
    "check_pattern",
    "check_patterns",
    "check_topic",
    "is_reserved",
    "matches",
    "segment",
]

MAX_TOPIC_CHARS: Final = 255
EVERY_TOPIC: Final = "*"
PRESENCE_OF: Final = "presence."
"""Before the name of a room: the topic by which clients hear who is in it. Applications can't emit such topics."""

_TOPIC_CHARS: Final = frozenset(ascii_letters + digits + "_-:.")
_WELL_FORMED: Final = re.compile(r"[\w:*-]+(?:\.[\w:*-]+)*", re.ASCII)
"""A fast check for valid names; errors in the others are located character by character."""
_ALL_WELL_FORMED: Final = re.compile(r"(?:[\w:*-]++(?:\.[\w:*-]++)*+,)*+", re.ASCII)
"""The same for many names, each followed by a comma."""
_MAX_ESCAPED_CHARS: Final = 120
_UNESCAPED: Final = frozenset((ascii_letters + digits + "_-").encode())
_RESERVED: Final = "nitro"
_GRAMMAR: Final = "use ASCII letters, digits, '_', '-' and ':' in segments joined by '.'"
_OF_PATTERNS: Final = "#?+>[]{}|^$"
"""What other systems write in patterns: it comes from no id."""
_OF_AN_ID: Final = "; an id in it is escaped by segment(): f'user.{segment(user.id)}.mail'"


def check_topic(topic: str) -> str:
    """`topic` itself, if it names an event.

    Raises:
        TopicTypeError: it is no string.
        InvalidTopic: it breaks the grammar, is longer than 255 characters, is a pattern, is `ANY`, or is reserved
            (`nitro`, and the names under `nitro.` and `presence.`).
    """
    _check_type(topic, "topic")
    _check_grammar(topic, "topic")
    if topic.startswith(PRESENCE_OF):
        raise InvalidTopic(f"topic {_shown(topic)} is reserved: names under 'presence.' tell who is in a room")
    if topic == "ANY":
        raise InvalidTopic("'ANY' means every topic and can't be an event's name; choose another")
    return topic


def check_pattern(pattern: str) -> str:
    """`pattern` itself, if a client may subscribe to it; `"ANY"` becomes `"*"`.

    A topic without `*` is a pattern that matches itself alone.

    Raises:
        TopicTypeError: it is no string.
        InvalidTopic: it breaks the grammar, is longer than 255 characters, or names a reserved topic.
    """
    _check_type(pattern, "pattern")
    _check_grammar(pattern, "pattern")
    return EVERY_TOPIC if pattern == "ANY" else pattern


def check_handled(pattern: str) -> str:
    """As `check_pattern`, for handlers.

    Raises:
        InvalidTopic: also if it names rooms, of which clients hear, and no handlers.
    """
    if isinstance(pattern, str) and pattern.startswith(PRESENCE_OF):
        raise InvalidTopic(
            f"pattern {_shown(pattern)} is reserved: clients hear who is in a room, and no handler is called; read "
            f"nitro.presence('room.42')"
        )
    return check_pattern(pattern)


def check_patterns(patterns: Sequence[str]) -> Sequence[str]:
    """As `check_pattern` for each of these strings, in one pass and without caching.

    For untrusted input, which would evict the application's own names from the cache.
    """
    text = "".join([f"{pattern}," for pattern in patterns])
    is_right = (
        text.count(",") == len(patterns)
        and _ALL_WELL_FORMED.fullmatch(text)
        and max(map(len, patterns), default=0) <= MAX_TOPIC_CHARS
        and not any(part in text for part in ("**", "ANY", _RESERVED))
    )
    return patterns if is_right else [check_pattern(pattern) for pattern in patterns]


def segment(value: object) -> str:
    """Escape an id as one segment of a topic or pattern: `f"user.{segment(user.id)}.*"`.

    Needed for any text that users choose, both where events are emitted and where they are granted: a user named `*`
    would otherwise hear everybody's. Different ids give different segments.

    An id that is a valid segment stays as it is. Any other becomes `::` followed by its UTF-8, in which each byte but
    ASCII letters, digits, `_` and `-` is written as `:` and two hexadecimal digits: `a.b` is `::a:2eb`. If that is
    longer than 120 characters, the segment is `::::` and the SHA-256 of the id, as URL-safe base64 without padding.

    Raises:
        InvalidTopic: it is empty, None, or contains a surrogate.
        ArgumentTypeError: it is no id: an object that has one, a list, a function.
    """
    if value is not None and not isinstance(value, str) and (hasattr(value, "id") or not is_identity(value)):
        raise ArgumentTypeError(f"segment takes an id, such as segment(user.id), and not {value!a:.80}")
    text = str.__str__(value) if isinstance(value, str) else str(value)
    if value is None or not text:
        raise InvalidTopic(f"{value!a:.60} can't be a segment of a topic: an id is not None and not empty")
    if _TOPIC_CHARS.issuperset(text) and _is_plain(text):
        return text
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidTopic(f"{_shown(text)} is no text: {text[error.start]!a} at character {error.start + 1}") from None
    if len(data) < _MAX_ESCAPED_CHARS:
        escaped = "::" + "".join(chr(byte) if byte in _UNESCAPED else f":{byte:02x}" for byte in data)
        if len(escaped) <= _MAX_ESCAPED_CHARS:
            return escaped
    return "::::" + urlsafe_b64encode(sha256(data).digest()).decode().rstrip("=")


def _is_plain(text: str) -> bool:
    """Whether an id of valid characters is a segment that needs no escape."""
    return "." not in text and text != "ANY" and not text.startswith("::") and 0 < len(text) <= MAX_TOPIC_CHARS


def matches(pattern: str, topic: str) -> bool:
    """Whether `pattern` matches `topic`; both have to be valid."""
    if "*" not in pattern:
        return pattern == topic
    first, *middle, last = pattern.split("*")
    if not topic.startswith(first):
        return False
    # Leftmost placement is enough: each star only requires one character or more before the next literal.
    place = len(first)
    for literal in middle:
        found = topic.find(literal, place + 1)
        if found < 0:
            return False
        place = found + len(literal)
    return len(topic) - len(last) > place and topic.endswith(last)


def is_reserved(topic: str) -> bool:
    """Whether `topic` is reserved for Nitro: applications can't emit it, and clients never hear it."""
    return topic.startswith(_RESERVED) and (topic == _RESERVED or topic[len(_RESERVED)] == ".")


def _check_type(name: object, what: str) -> None:
    if not isinstance(name, str):
        raise TopicTypeError(f"a {what} is a string, not {type(name).__name__}: {_shown(name)}")


@lru_cache(maxsize=8192)
def _check_grammar(name: str, what: str) -> None:
    has_right_stars = "*" not in name or (what == "pattern" and "**" not in name)
    if has_right_stars and _WELL_FORMED.fullmatch(name) and len(name) <= MAX_TOPIC_CHARS and not is_reserved(name):
        return
    if not name:
        raise InvalidTopic(f"the {what} is empty; {_GRAMMAR}")
    if len(name) > MAX_TOPIC_CHARS:
        raise InvalidTopic(
            f"the {what} {_shown(name)} has {len(name)} characters; at most {MAX_TOPIC_CHARS} are allowed"
        )
    for place, char in enumerate(name):
        if char not in _TOPIC_CHARS and not (char == "*" and what == "pattern"):
            if char == "*":
                raise InvalidTopic(
                    f"{_shown(name)} is a pattern (it has '*'); an event has one exact name, and only subscriptions "
                    f"and handlers may use patterns"
                )
            remedy = "" if char.isspace() or char in _OF_PATTERNS else _OF_AN_ID
            raise InvalidTopic(f"{what} {_shown(name)} has {char!a} at character {place + 1}; {_GRAMMAR}{remedy}")
    if name.startswith(".") or name.endswith(".") or ".." in name:
        place = 1 if name.startswith(".") else name.find("..") + 2 if ".." in name else len(name)
        raise InvalidTopic(
            f"{what} {_shown(name)} has an empty segment at character {place}; put a name between the dots"
        )
    if "**" in name:
        raise InvalidTopic(
            f"{what} {_shown(name)} has '**' at character {name.find('**') + 1}; write '*', which stands for one or "
            f"more characters, dots included"
        )
    if is_reserved(name):
        raise InvalidTopic(f"{what} {_shown(name)} is reserved: names under 'nitro.' are Nitro's own")


def _shown(name: object) -> str:
    """`name` for an error's text: escaped to ASCII, at most 60 characters."""
    text = ascii(name)
    return text if len(text) <= 60 else text[:57] + "..."
