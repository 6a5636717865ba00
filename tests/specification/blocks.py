"""The fenced code blocks of a page, each with its place. Pure; feeds the tests of this folder, and `tests/pages.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["SPECIFICATION", "Block", "blocks_in", "the"]

SPECIFICATION: Final = Path(__file__).with_name("realtime-client.md")
_FRAGMENT: Final = re.compile(r"<!-- fragment: (.*) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        path: its headings, outermost first, without backticks.
        language: the word behind the opening fence; empty if there is none.
        number: counts the blocks of one language under one heading, from 1.
        line: of the page, where its first line of code stands, from 1.
        fragment: why nothing runs it, by an HTML comment in the line above it: `<!-- fragment: the reason -->`.
    """

    path: tuple[str, ...]
    language: str
    number: int
    line: int
    source: str
    fragment: str = ""

    @property
    def heading(self) -> str:
        return self.path[-1]

    def __str__(self) -> str:
        return f"{self.heading}, {self.language} {self.number}"


def blocks_in(markdown: str) -> Iterator[Block]:
    """Every fenced block, in order. A `#` inside a block is no heading."""
    headings: list[str] = []
    seen: dict[tuple[tuple[str, ...], str], int] = {}
    lines = enumerate(markdown.splitlines(), 1)
    above = ""
    for place, line in lines:
        if heading := re.match(r"(#+) (.*)", line):
            headings[len(heading[1]) - 1 :] = [heading[2].replace("`", "")]
        elif line.startswith("```"):
            code: list[str] = []
            for _, inner in lines:
                if inner == "```":
                    break
                code.append(f"{inner}\n")
            path, language = tuple(headings), line[3:].strip()
            number = seen[path, language] = seen.get((path, language), 0) + 1
            mark = _FRAGMENT.fullmatch(above)
            yield Block(path, language, number, place + 1, "".join(code), mark[1] if mark else "")
        above = line


def the(heading: str, language: str = "python", number: int = 1) -> Block:
    """The block of that place in the specification.

    Raises:
        ValueError: there is not exactly one.
    """
    wanted = (heading, language, number)
    (block,) = [
        block
        for block in blocks_in(SPECIFICATION.read_text(encoding="utf-8"))
        if (block.heading, block.language, block.number) == wanted
    ]
    return block
