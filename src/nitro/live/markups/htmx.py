"""HTML of rows for htmx."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from nitro.live.markups.base import Changes, payload_of
from nitro.live.renderer import tag_of

__all__ = ["Htmx"]

_PARENTS: Final = {
    "tr": ("table", "tbody"),
    "td": ("table", "tbody", "tr"),
    "th": ("table", "tbody", "tr"),
    "tbody": ("table",),
    "thead": ("table",),
    "tfoot": ("table",),
}
"""What the parser of HTML wants around some elements; it drops them anywhere else."""


class Htmx:
    """Out-of-band swaps, for htmx 2 and 4; the element that has the stream has `hx-swap="none"`."""

    def __init__(self, target: str) -> None:
        self._target = target

    def changes(self, changes: Changes) -> bytes:
        pieces = [self._removed(id) for id in (*changes.gone, *changes.first, *changes.last)]
        for element in changes.changed.values():
            tag = tag_of(element)
            pieces.append(_wrapped(_PARENTS.get(tag, ()), f'<{tag} hx-swap-oob="true"{element[1 + len(tag) :]}'))
        for swap, placed in (("afterbegin", changes.first), ("beforeend", changes.last)):
            if placed:
                pieces.append(self._contained(swap, list(placed.values())))
        return payload_of("".join(pieces))

    def all_rows(self, elements: Sequence[str]) -> bytes:
        return payload_of(self._contained("innerHTML", elements))

    def more_rows(self, elements: Sequence[str]) -> bytes:
        return payload_of(self._contained("beforeend", elements))

    def _removed(self, id: str) -> str:
        """Removes the element with that id, if there is one.

        htmx 2 logs an error if there is none, so it is first given one. htmx 4 looks for all targets before it changes
        anything, and so would leave that behind; it takes what is behind the last colon for the target, which is none.
        """
        id = escape(id)
        added = f'<div hx-swap-oob="beforeend:#{self._target}:defined"><i id="{id}"></i></div>'
        return f'{added}<div id="{id}" hx-swap-oob="delete"></div>'

    def _contained(self, swap: str, elements: Sequence[str]) -> str:
        """The swap of what a container contains, which is left away itself."""
        *outer, container = _PARENTS.get(tag_of(elements[0]), ("div",)) if elements else ("div",)
        content = f'<{container} hx-swap-oob="{swap}:#{self._target}">{"".join(elements)}</{container}>'
        return _wrapped(outer, content)


def _wrapped(tags: Sequence[str], content: str) -> str:
    before, after = "".join([f"<{tag}>" for tag in tags]), "".join([f"</{tag}>" for tag in reversed(tags)])
    return f"{before}{content}{after}"
