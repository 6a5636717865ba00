"""Who imports whom in src/nitro, imports for types alone counted in: its circles, and a picture of it.

`python -m tests.import_graph` writes Graphviz's text, for packages; with a package's name for its modules.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path

__all__ = ["circles", "graph", "modules"]

SOURCE = Path(__file__).parent.parent / "src"


@cache
def modules() -> dict[str, Path]:
    """The file of each module."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
    }


def graph() -> dict[str, set[str]]:
    """What each module imports of the others, wherever in it that stands."""
    known = modules()
    return {module: _imported(path, known) - {module} for module, path in known.items()}


def _imported(path: Path, known: Mapping[str, Path]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (parts & known.keys()) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known.keys()


def circles(edges: Mapping[str, Set[str]]) -> list[set[str]]:
    """The groups of modules of which each reaches every other one."""
    reached = {module: _reached(module, edges) for module in edges}
    groups = {frozenset(other for other in reached[module] if module in reached[other]) for module in edges}
    return [set(group) for group in groups if group]


def _reached(module: str, edges: Mapping[str, Set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(edges[module])
    while ahead:
        there = ahead.pop()
        if there not in seen:
            seen.add(there)
            ahead += edges[there]
    return seen


def _drawn(package: str | None) -> str:
    """The graph of the packages, or of one package's modules and what they import elsewhere."""

    def box(module: str) -> str:
        if package is not None and module.startswith(f"nitro.{package}."):
            return module.removeprefix(f"nitro.{package}.")
        return ".".join(module.split(".")[:2]).removeprefix("nitro.")

    arrows = {
        (box(module), box(imported))
        for module, found in graph().items()
        for imported in found
        if package is None or module.startswith(f"nitro.{package}.")
    }
    lines = [f'  "{one}" -> "{other}";' for one, other in sorted(arrows) if one != other]
    return "\n".join(["digraph nitro {", "  node [shape=box, fontname=sans];", *lines, "}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", nargs="?", help="such as delivery or brokers; all packages if left out")
    print(_drawn(parser.parse_args().package))
