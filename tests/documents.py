"""The documentation's pages, which of their code blocks a test runs, and running their Python as it stands there.

Fed by README.md, js/README.md and docs/; feeds the tests that run a page, the applications in `tests/apps` that a page
makes, and `test_documents.py`, which runs the Python that no other test runs.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, Final

from tests.specification.blocks import Block, blocks_in

__all__ = ["PAGES", "ROOT", "Document", "claims"]

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "js/README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md"))
    if ROOT / "docs/decisions" not in path.parents
)
"""The pages for those who use Nitro, as paths from the repository's root."""


class Document:
    """A page: `Document("docs/how-to/access.md")`. What it marks as a fragment is in `blocks`, and nowhere else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (ROOT / name).read_text(encoding="utf-8")
        self.blocks = list(blocks_in(self.text))

    def all(self, language: str, under: str = "") -> list[Block]:
        """Its blocks of that language: all, or those that have that heading directly above them."""
        found = [each for each in self.blocks if each.language == language and not each.fragment]
        return [each for each in found if each.heading == under] if under else found

    def the(self, language: str, under: str = "") -> Block:
        """The only one of them.

        Raises:
            ValueError: there is none, or more than one.
        """
        (block,) = self.all(language, under)
        return block

    def run(self, block: Block, names: dict[str, Any]) -> None:
        """Run a block of Python with these names, to which it adds its own. A traceback shows its line in the page."""
        exec(self._compiled(block), names)

    async def run_async(self, block: Block, names: dict[str, Any]) -> None:
        """The same for one that may await."""
        running = eval(self._compiled(block, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(running):
            await running

    def awaits(self, block: Block) -> bool:
        """Whether a block of Python awaits something outside of its functions."""
        return bool(self._compiled(block, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT).co_flags & inspect.CO_COROUTINE)

    def _compiled(self, block: Block, flags: int = 0) -> CodeType:
        lines = "\n" * (block.line - 1)
        code: CodeType = compile(lines + block.source, str(ROOT / self.name), "exec", flags, dont_inherit=True)
        return code


@cache
def claims() -> dict[str, dict[str, tuple[str, ...]]]:
    """Which test file runs which blocks of a page: page → file → languages, each alone or with its heading.

    A file that runs blocks says so in a constant, and is not imported for that:
    `RUNS_BLOCKS = {"docs/how-to/scaling.md": ["sql", "Alembic: python"]}`.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for file, claimed in _constants():
        for page, selectors in claimed.items():
            found.setdefault(page, {})[file] = tuple(selectors)
    return found


def _constants() -> Iterator[tuple[str, dict[str, list[str]]]]:
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "\nRUNS_BLOCKS = {" not in text:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RUNS_BLOCKS":
                yield str(file.relative_to(ROOT)), ast.literal_eval(node.value)


def is_selected(block: Block, selector: str) -> bool:
    """Whether a claim is of that block: `python`, or `Alembic: python`."""
    heading, _, language = selector.rpartition(": ")
    return block.language == language and heading in ("", block.heading)
