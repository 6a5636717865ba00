"""Links of a page: those to other pages stay relative, those into the repository lead to its source. Pure."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

__all__ = ["prose", "relinked"]

_CODE: Final = re.compile(r"^ *```.*?^ *```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<=\]\()([^)\s#]+)(?=[#)])|(?<=src=\")([^\"#]+)")
_ABROAD: Final = re.compile(r"[a-z+.-]+:|/")


def prose(markdown: str, change: Callable[[str], str]) -> str:
    """`markdown` with all that is no code changed."""
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(markdown):
        parts += change(markdown[end : code.start()]), code[0]
        end = code.end()
    return "".join([*parts, change(markdown[end:])])


def relinked(markdown: str, source: str, page: str, place: Callable[[str], str]) -> str:
    """The page with its links as they have to be on the site.

    Args:
        source: the file that it stands in, from the repository's root; its links are relative to that.
        page: where it will stand on the site.
        place: from a path in the repository to one on the site, or to a URL.
    """

    def replaced(link: re.Match[str]) -> str:
        if _ABROAD.match(link[0]):
            return link[0]
        place_there = place(os.path.normpath(PurePosixPath(source).parent / link[0]))
        if _ABROAD.match(place_there):
            return place_there
        return os.path.relpath(place_there, PurePosixPath(page).parent)

    return prose(markdown, lambda text: _LINK.sub(replaced, text))
