"""HTML frames: what clients of a live query get as HTML, each row an element that a page puts into its place."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

from nitro.delivery.query import Operation, Shown
from nitro.errors import InvalidQuery
from nitro.live.markups.base import Changes, Markup
from nitro.live.markups.datastar import Datastar
from nitro.live.markups.htmx import Htmx
from nitro.live.markups.turbo import Turbo
from nitro.live.model import LiveTable
from nitro.live.renderer import Rendered, Renderer
from nitro.live.state_frames import PART_BYTES

__all__ = ["HtmlFrames"]

_MARKUPS: Final[dict[str, type[Markup]]] = {"htmx": Htmx, "turbo": Turbo, "datastar": Datastar}
_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


class HtmlFrames:
    """Each payload is a piece of HTML, or patches of Datastar: elements that come, are replaced, or go.

    Args:
        model: the class.
        rendered: see `Renderer`.
        target: the id of the element that contains the rows.
        markup: the library that takes it; `"htmx"` by default.

    Attributes: see `Frames`.

    Raises:
        InvalidQuery: there is no target, or it is no plain id, or nobody knows the markup.
        ConfigurationError: see `Renderer`; or Datastar's library is not installed.
    """

    def __init__(self, model: LiveTable, rendered: Rendered, target: str | None, markup: str | None) -> None:
        if not isinstance(target, str) or _ID.fullmatch(target) is None:
            raise InvalidQuery(
                f"target is {target!r:.80}; it has to be the id of the element that contains the rows, of letters, "
                f"digits, _ and -"
            )
        self.markup: str | None = "htmx" if markup is None else markup
        if self.markup not in _MARKUPS:
            raise InvalidQuery(f"markup is {markup!r:.80}; it has to be one of {', '.join(_MARKUPS)}")
        self._renderer = Renderer(model, rendered)
        self._markup = _MARKUPS[self.markup](target)
        self._identity = (self._renderer, target, self.markup)
        self.shown_as: Hashable = self._renderer
        self.fingerprint: str | None = repr((self._renderer.fingerprint, target, self.markup))

    def value(self, key: str, values: Mapping[str, Any]) -> bytes:
        return self._renderer.html_of(key, values).encode(errors="replace")

    def encode(self, operations: Sequence[Operation]) -> bytes:
        gone: list[str] = []
        changed: dict[str, str] = {}
        first: dict[str, str] = {}
        last: dict[str, str] = {}
        for each in operations:
            id = self._renderer.id_of(each.key)
            if each.value is None:
                gone.append(id)
            else:
                into = changed if not each.is_placed else first if each.is_first else last
                into[id] = each.value.decode()
        return self._markup.changes(Changes(gone, changed, first, last))

    def snapshot(self, rows: Sequence[Shown], *, is_reset: bool) -> list[bytes]:  # noqa: ARG002 - of the protocol
        """`is_reset` needs nothing: the first part takes the place of what the page has."""
        parts: list[list[str]] = [[]]
        size = 0
        for _, value in rows:
            if size > PART_BYTES:
                parts.append([])
                size = 0
            parts[-1].append(value.decode())
            size += len(value)
        return [self._markup.all_rows(parts[0]), *map(self._markup.more_rows, parts[1:])]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HtmlFrames) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)
