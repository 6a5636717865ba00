"""The applications of `nitro skill` as they stand there, each under a host of its own: `todo.localhost`."""

from __future__ import annotations

import sys
from types import ModuleType

from starlette.applications import Starlette
from starlette.routing import Host

from tests.servers import ROOT
from tests.specification.blocks import Block, blocks_in

__all__ = ["APPLICATIONS", "BLOCKS", "SKILL", "application"]

SKILL = ROOT / "src/nitro/skill/SKILL.md"
BLOCKS = list(blocks_in(SKILL.read_text(encoding="utf-8")))
APPLICATIONS: dict[str, Block] = {
    block.source.partition("\n")[0].removeprefix("# ").removesuffix(".py"): block
    for block in BLOCKS
    if block.language == "python" and block.source.startswith("# ")
}
"""The whole applications by the names of their modules."""


def made(name: str, block: Block) -> ModuleType:
    """The module that an application is."""
    module = sys.modules[name] = ModuleType(name)
    exec(compile("\n" * (block.line - 1) + block.source, str(SKILL), "exec", dont_inherit=True), module.__dict__)
    return module


def application() -> Starlette:
    """All of them; for `uvicorn --factory`."""
    return Starlette(routes=[Host(f"{name}.localhost", made(name, APPLICATIONS[name]).app) for name in APPLICATIONS])
