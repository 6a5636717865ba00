"""The pages as Zensical reads them: those of docs/, and what else the repository has, with links that hold there.

Fed by docs/ and the Markdown at the root; feeds Zensical, and `reading.py`, which gives the same pages to programs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Final

from website.links import relinked
from website.places import ROOT, SOURCE_URL, STAGE
from website.reference import Reference

__all__ = ["description", "stage", "written"]

_FROM_THE_ROOT: Final = {
    "CHANGELOG.md": "about/changelog.md",
    "SECURITY.md": "about/security-policy.md",
    "ARCHITECTURE.md": "about/architecture.md",
    "CONTRIBUTING.md": "about/contributing.md",
    "docs/decisions/README.md": "decisions/index.md",
}
_NOT_FOUND: Final = frozenset({"about/changelog.md", "about/contributing.md", "about/architecture.md"})
"""What the search leaves out, besides decisions: it would stand before the pages for those who use Nitro."""
_PICTURES: Final = {".png", ".svg"}
_FENCE: Final = re.compile(r"^( *```\w+) .+$", re.MULTILINE)
"""A block of code whose language isn't all that its first line says: Zensical would take it for no block."""


def _sources() -> dict[str, str]:
    """From a page's file in the repository to its place on the site."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "docs"],  # noqa: S607 -- the git of the developer
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    pages = [name for name in names if (ROOT / name).is_file()]
    return {**{page: page.removeprefix("docs/") for page in pages}, **_FROM_THE_ROOT}


def stage() -> list[str]:
    """Write all pages and pictures to `STAGE`, and return the pages' paths there."""
    shutil.rmtree(STAGE, ignore_errors=True)
    pages = STAGE / "docs"
    sources = _sources()
    reference = Reference(ROOT / "src")
    pictures: dict[str, str] = {}

    def place(path: str) -> str:
        """Where a path of the repository is found: on the site, or in the repository itself."""
        if path in sources:
            return sources[path]
        if PurePosixPath(path).suffix in _PICTURES:
            pictures[path] = f"images/{PurePosixPath(path).name}"
            return pictures[path]
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{SOURCE_URL}/{kind}/main/{path}"

    for source, page in sources.items():
        target = pages / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix != ".md":
            shutil.copyfile(ROOT / source, target)
            continue
        text = reference.expanded((ROOT / source).read_text(encoding="utf-8"))
        text = _FENCE.sub(r"\1", relinked(text, source, page, place))
        is_found = page not in _NOT_FOUND and not page.startswith("decisions/")
        target.write_text(_with_matter(text, is_found=is_found), encoding="utf-8")
    for picture, path in pictures.items():
        shutil.copyfile(ROOT / picture, pages / path)
    return sorted(page for page in sources.values() if page.endswith(".md"))


def description(markdown: str) -> str:
    """The first sentence of a page, as plain text; empty if it begins otherwise."""
    paragraph = re.search(r"^# .+\n+((?:(?!```|[#|!<\n]).+\n)+)", markdown, re.MULTILINE)
    if paragraph is None:
        return ""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph[1].split()))
    return re.split(r"(?<=[.!?:]) (?=[A-Z`])", re.sub(r"[`*]", "", plain))[0].rstrip(":")


def _with_matter(markdown: str, *, is_found: bool) -> str:
    """The page behind what Zensical is to know of it: what describes it, and whether its search finds it."""
    said = description(markdown).replace("\\", "\\\\").replace('"', '\\"')
    lines = ([f'description: "{said}"'] if said else []) + ([] if is_found else ["search:", "  exclude: true"])
    return "\n".join(["---", *lines, "---", "", markdown]) if lines else markdown


def written(page: str) -> Path:
    """The file of a page in `STAGE`."""
    return STAGE / "docs" / page
