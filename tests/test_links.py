"""Every relative link of the repository's Markdown leads to a file that is there, and to a heading of it.

Pages are read as CommonMark, as GitHub does. A heading's anchor is GitHub's, and the site's is the same.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pymdownx.slugs import slugify  # type: ignore[import-untyped] # it has no types

from tests.documents import ROOT
from tests.specification.blocks import SPECIFICATION

PAGES = sorted(
    path
    for folder in ("", "docs", "js", "benchmarks", "tests", "deploy", "findings", "examples", "src")
    for path in (ROOT / folder).glob("*.md" if folder in ("", "js") else "**/*.md")
    if "node_modules" not in path.parts and path != SPECIFICATION  # which is not ours, and has links to its own place
)
ABROAD = re.compile(r"[a-z][a-z0-9+.-]*:|//|/")


@cache
def parsed(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))


def texts_of_headings(page: Path) -> Iterator[str]:
    """Of each heading what is read, and of a line such as `::: nitro.emit` what the site makes a heading of."""
    for before, token in pairwise(parsed(page)):
        if before.type == "heading_open":
            yield "".join(each.content for each in token.children or () if each.type in ("text", "code_inline"))
        elif token.type == "inline":
            yield from re.findall(r"^::: (nitro[\w.]*)", token.content, re.MULTILINE)


def slug(heading: str) -> str:
    """GitHub's anchor of a heading: letters, digits, `_`, `-`, and `-` for each space."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> list[str]:
    return [slug(text) for text in texts_of_headings(page)]


def links(page: Path) -> Iterator[tuple[int, str]]:
    """The line and the address of each link and picture, also of those in HTML."""
    for block in parsed(page):
        line = (block.map or [0])[0] + 1
        for token in (block, *(block.children or ())):
            if token.type in ("link_open", "image"):
                yield line, str(token.attrs.get("href", token.attrs.get("src")))
            elif token.type.startswith("html_"):
                yield from ((line, found) for found in re.findall(r'\b(?:href|src|srcset)="([^"\s]+)', token.content))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    wrong = []
    for line, address in links(page):
        if ABROAD.match(address):
            continue
        path, _, anchor = unquote(address).partition("#")
        target = Path(os.path.normpath(page.parent / path)) if path else page
        if not target.exists():
            wrong.append(f"{page.relative_to(ROOT)}:{line}: there is no {path}")
        elif anchor and target.suffix == ".md" and anchors(target).count(anchor) != 1:
            wrong.append(f"{page.relative_to(ROOT)}:{line}: {path} has no one heading #{anchor}")
    assert wrong == []


def test_the_site_has_the_same_anchors() -> None:
    configuration = tomllib.loads((ROOT / "website/zensical.toml").read_text(encoding="utf-8"))
    told = configuration["project"]["markdown_extensions"]["toc"]["slugify"]
    assert told["object"] == f"{slugify.__module__}.{slugify.__name__}"
    of_the_site = slugify(**told["kwds"])
    for page in PAGES:
        for text in texts_of_headings(page):
            assert of_the_site(text, "-") == slug(text), (page, text)
