"""An empty virtual environment of some Python, with what a user would install into it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir

from tests.pythons.places import Place
from tests.release.command import run

__all__ = ["Environment", "environments"]

_UV = str(Path(sys.executable).with_name("uv"))
SMOKE = Path(__file__).with_name("smoke")


class Environment:
    """Attributes:
    python: its interpreter, as the place where it is sees it.
    """

    def __init__(self, place: Place, folder: str) -> None:
        self._place = place
        self._folder = folder
        self.python = f"{folder}/bin/python"

    def install(self, requirement: str) -> None:
        """Make the environment anew, with `requirement` and what that needs."""
        options = ["--quiet", "--clear", "--no-project", "--no-python-downloads", "--python", self._place.executable]
        self._run(_UV, "venv", *options, self._folder)
        self._run(_UV, "pip", "install", "--quiet", "--python", self.python, requirement)

    def smoke(self, script: str, *arguments: str | Path) -> str:
        """Run a script of tests/release/smoke, to which nothing of the checkout is importable."""
        return self._run(self.python, "-I", str(SMOKE / script), *map(str, arguments))

    def installed(self) -> dict[str, str]:
        """Each distribution with its version."""
        listed = json.loads(self._run(_UV, "pip", "list", "--format", "json", "--python", self.python))
        return {one["name"]: one["version"] for one in listed}

    def remove(self) -> None:
        self._run("rm", "-rf", self._folder)

    def _run(self, *command: str) -> str:
        """From the root of the file system: a Python in Debian's distribution sees no other folder of everybody's."""
        return run(*self._place.command("env", "-C", "/", *command))


@contextmanager
def environments(place: Place) -> Iterator[Environment]:
    """The environment of one Python, in a folder outside of the checkout, until the block ends."""
    environment = Environment(place, f"{gettempdir()}/nitro-release-{token_hex(6)}")
    try:
        yield environment
    finally:
        environment.remove()
