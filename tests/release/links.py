"""Links in Markdown, outside of code, and which of them only work in the repository. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import Final

__all__ = ["absolute", "code_in", "file_in_the_repository", "links_in", "relative_links_in"]

REPOSITORY: Final = "https://github.com/nitro-realtime/nitro"
IMAGES: Final = "https://raw.githubusercontent.com/nitro-realtime/nitro"
_CODE: Final = re.compile(r"^ *```.*?^ *```$|`[^`]+`", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)|^ {0,3}\[[^\]^]+\]: *(\S+)|\b(?:src|href)=\"([^\"]+)\"", re.MULTILINE)
_ABSOLUTE: Final = re.compile(r"(?:https?://|mailto:)")


def code_in(markdown: str) -> list[str]:
    """The blocks and the words that are code, in their order."""
    return _CODE.findall(markdown)


def links_in(markdown: str) -> list[str]:
    """The targets of links and images, in their order."""
    return [next(filter(None, groups)) for groups in _LINK.findall(_CODE.sub("", markdown))]


def relative_links_in(markdown: str) -> list[str]:
    """Those that lead nowhere when nothing of the repository lies beside the page."""
    return [link for link in links_in(markdown) if not _ABSOLUTE.match(link)]


def file_in_the_repository(link: str, version: str) -> str | None:
    """The path that a link leads to in the tag of `version`, without its anchor; None if it leads elsewhere."""
    for start in (f"{REPOSITORY}/blob/v{version}/", f"{IMAGES}/v{version}/"):
        if link.startswith(start):
            return link.removeprefix(start).partition("#")[0]
    return None


def absolute(markdown: str, folder: str, version: str) -> str:
    """`markdown`, a page in `folder` of the repository (`""` is its top), with its relative links made absolute."""

    def lead(link: re.Match[str]) -> str:
        return f"]({REPOSITORY}/blob/v{version}/{posixpath.normpath(posixpath.join(folder, link[1]))}"

    return re.sub(rf"\]\((?!{_ABSOLUTE.pattern}|#)([^)\s#]+)", lead, markdown)
