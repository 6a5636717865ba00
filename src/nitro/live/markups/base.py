"""What a markup does: it wraps HTML of rows, so that a library of the page puts it into its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from pydantic_core import to_json

from nitro.messages.one_line import on_one_line

__all__ = ["Changes", "Markup", "payload_of"]


class Changes(NamedTuple):
    """What one commit changes in a page.

    Attributes:
        gone: the ids of elements that go.
        changed: those that take the place of the one with their id, by id.
        first: those that come before the others, by id; the page may have them already, as rows that were read a
            moment later have what is told of them.
        last: those that come behind the others, likewise.
    """

    gone: Sequence[str]
    changed: Mapping[str, str]
    first: Mapping[str, str]
    last: Mapping[str, str]


class Markup(Protocol):
    """What a library takes."""

    def __init__(self, target: str) -> None:
        """`target`: the id of the element that contains the rows."""

    def changes(self, changes: Changes) -> bytes:
        """The payload of what one commit changes."""

    def all_rows(self, elements: Sequence[str]) -> bytes:
        """That of all rows, or the first of them: they take the place of everything."""

    def more_rows(self, elements: Sequence[str]) -> bytes:
        """That of those behind them."""


def payload_of(html: str) -> bytes:
    """A string, which a response with `text=True` sends as it is."""
    return on_one_line(to_json(html))
