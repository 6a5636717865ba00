"""HTML of rows for Datastar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from nitro.live.markups.base import Changes
from nitro.messages.one_line import on_one_line

__all__ = ["Datastar"]


class Datastar:
    """Patches for a `DatastarResponse`.

    Raises:
        ConfigurationError: datastar-py is not installed.
    """

    def __init__(self, target: str) -> None:
        from nitro.datastar.patch import Patch, Patches  # an option, that most applications do without

        self._selector = f"#{target}"
        self._patch, self._patches = Patch, Patches
        self._patch.of_removal(self._selector)  # raises now if it can't be made

    def changes(self, changes: Changes) -> bytes:
        patches = []
        if gone := (*changes.gone, *changes.first, *changes.last):
            patches.append(self._patch.of_removal(", ".join(map(_selector, gone))))
        if changes.changed:
            patches.append(self._patch.of_elements("\n".join(changes.changed.values()), None, None, None))
        for mode, placed in (("prepend", changes.first), ("append", changes.last)):
            if placed:
                patches.append(self._added(mode, list(placed.values())))
        return self._encoded(patches)

    def all_rows(self, elements: Sequence[str]) -> bytes:
        return self._encoded([self._added("inner", elements)])

    def more_rows(self, elements: Sequence[str]) -> bytes:
        return self._encoded([self._added("append", elements)])

    def _added(self, mode: str, elements: Sequence[str]) -> Any:
        return self._patch.of_elements("\n".join(elements), self._selector, mode, None)

    def _encoded(self, patches: Sequence[Any]) -> bytes:
        return on_one_line(to_json(patches[0] if len(patches) == 1 else self._patches.of(patches), by_alias=True))


def _selector(id: str) -> str:
    """By an attribute, since an id may have any characters; those that end a string or a line are escaped."""
    escaped = "".join([f"\\{ord(char):x} " if char in '"\\\n\r\f\0' else char for char in id])
    return f'[id="{escaped}"]'
