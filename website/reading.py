"""The same pages for programs: each as Markdown beside its HTML, a list of them, and all of them in one file.

`llms.txt` is in the form of https://llmstxt.org.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from website.places import CONFIGURATION, SITE, SITE_URL
from website.staging import description, written

__all__ = ["Astray", "check", "in_navigation", "write"]

_FOR_TESTS: Final = re.compile(r"^ *<!-- fragment: .*? -->\n", re.MULTILINE | re.DOTALL)
_BOUNDARY: Final = "\n\n---\n\n"


def in_navigation() -> Iterator[tuple[str, str]]:
    """Section and path of each page, in the order in which they are read."""
    for section in tomllib.loads(CONFIGURATION.read_text(encoding="utf-8"))["project"]["nav"]:
        ((name, entries),) = section.items()
        for page in _pages(entries):
            yield name, page


def _pages(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            ((_, below),) = entry.items()
            yield from _pages(below)


class Astray(Exception):
    """The navigation names a page that isn't there, or leaves one out."""


def check(pages: list[str]) -> None:
    """Zensical itself is silent about both.

    Raises:
        Astray: of decisions only the list has to be there; every other page has to be there once.
    """
    listed = [page for _, page in in_navigation()]
    there = {page for page in pages if not page.startswith("decisions/") or page == "decisions/index.md"}
    wrong = {
        "not there": set(listed) - there,
        "left out": there - set(listed),
        "there twice": {page for page in listed if listed.count(page) > 1},
    }
    told = [f"{', '.join(sorted(names))}: {what}" for what, names in wrong.items() if names]
    if told:
        raise Astray(f"the navigation in website/zensical.toml and docs/ differ: {'; '.join(told)}")


def write(pages: list[str]) -> None:
    """Write them into `SITE`, which has to be built."""
    texts = {page: _body(written(page).read_text(encoding="utf-8")) for page in pages}
    for page, text in texts.items():
        target = SITE / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    configuration = tomllib.loads(CONFIGURATION.read_text(encoding="utf-8"))["project"]
    lines = [f"# {configuration['site_name']}", "", f"> {configuration['site_description']}"]
    begun = None
    for section, page in in_navigation():
        if section != begun:
            lines += ["", f"## {section}", ""]
            begun = section
        title, said = texts[page].partition("\n")[0].removeprefix("# "), description(texts[page])
        lines.append(f"- [{title}]({SITE_URL}{page})" + (f": {said}" if said else ""))
    (SITE / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    every = _BOUNDARY.join(texts[page].strip() for _, page in in_navigation())
    (SITE / "llms-full.txt").write_text(every + "\n", encoding="utf-8")


def _body(text: str) -> str:
    """Without what stands before the page for Zensical alone, and what tests are told of its blocks."""
    page = text.split("---\n\n", 1)[1] if text.startswith("---\n") else text
    return _FOR_TESTS.sub("", page)
