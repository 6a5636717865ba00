"""Requested topics: parses the topics that a request asks for, in its query and its headers. Untrusted input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from nitro.errors import InvalidTopic, TooManyTopics
from nitro.messages.pattern_index import compared_among
from nitro.messages.topics import check_patterns
from nitro.settings import get_settings

__all__ = ["Requested", "asked_patterns", "topics_of_request"]

_HEADER: Final = b"nitro-topics"
_OTHER_PARAMETERS: Final = 100


class Requested(list[str]):
    """Topics that a request asks for; a client accepts them only together with what is allowed.

    Attributes:
        in_header: whether the request had topics in a header.
    """

    __slots__ = ("in_header",)

    def __init__(self, topics: Iterable[str] = (), *, in_header: bool = False) -> None:
        super().__init__(topics)
        self.in_header: bool = in_header


def topics_of_request(scope: Mapping[str, Any]) -> Requested:
    """See `requested_topics`; takes the scope of a request, and raises the same errors."""
    limit = get_settings().max_topics_per_client
    query: bytes = scope.get("query_string", b"")
    _check_count(query.count(b"&"), limit)
    parameters = _parameters(query.decode("latin-1"))
    asked = [value for name, _, value in parameters if name == "topic"]
    if not all(asked):
        raise InvalidTopic("?topic= is empty; leave it out to ask for all that may be heard")
    if any(name.startswith("topic[") for name, _, _ in parameters):
        raise InvalidTopic("write ?topic=a&topic=b for several topics, without brackets")
    headers = [value for name, value in scope.get("headers", ()) if name.startswith(_HEADER)]
    _check_count(sum(value.count(b",") + 1 for value in headers), limit)
    for value in headers:
        asked += value.decode("latin-1").split(",")
    if not all(asked):
        raise InvalidTopic("Nitro-Topics holds an empty topic; write a,b for several, and leave out an empty one")
    found = dict.fromkeys(check_patterns(asked))
    if len(found) > limit:
        raise _too_many(limit)
    wildcards, most = len(compared_among(found)), get_settings().max_wildcards_per_client
    if wildcards > most:
        raise TooManyTopics(
            f"{wildcards} of the topics are patterns with two stars or more, and a client may ask for {most} of those; "
            "one star costs nothing, as in 'todo.*'"
        )
    return Requested(found or ["ANY"], in_header=bool(headers))


def asked_patterns(scope: Mapping[str, Any]) -> frozenset[str]:
    """The patterns that a request asks for, even if its client uses others; empty if they are invalid."""
    asks = b"topic" in scope.get("query_string", b"")
    if not asks and not any(name.startswith(_HEADER) for name, _ in scope.get("headers", ())):
        return frozenset()
    try:
        return frozenset(topics_of_request(scope))
    except (InvalidTopic, TooManyTopics):
        return frozenset()


def _parameters(query: str) -> list[tuple[str, str, str]]:
    """Triples of name, separator and value."""
    parameters = [parameter.partition("=") for parameter in query.split("&")]
    if "%" not in query and "+" not in query:
        return parameters
    return [(unquote_plus(name), between, unquote_plus(value)) for name, between, value in parameters]


def _check_count(count: int, limit: int) -> None:
    """A cheap check before anything is parsed."""
    if count > limit + _OTHER_PARAMETERS:
        raise _too_many(limit)


def _too_many(limit: int) -> TooManyTopics:
    return TooManyTopics(f"a client may ask for {limit} topics; use patterns such as 'todo.*'")
