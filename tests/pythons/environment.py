"""A virtual environment for each Python: what pyproject.toml names, installed again when that changes.

None of them keeps to development.lock: they get the newest versions of the day on which they are made, or the least.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from typing import Literal

from tests.pythons.debian import ROOT
from tests.pythons.least import PYPROJECT, pins
from tests.pythons.newest import LOCK, differences
from tests.pythons.places import Place

__all__ = ["Environment", "Versions"]

Versions = Literal["", "least", "newest"]
"""Which versions are installed: the newest when the environment was made, the least, or the newest of today."""


class Environment:
    """What the suite runs in: `.venv-3.14`, `.venv-3.11-least` or `.venv-3.14-newest`.

    Attributes:
        folder: of the environment.
        without: what could not be installed for this Python; the tests that need it are skipped.
        differences: from development.lock, one line each, where the newest of today were installed.
    """

    def __init__(self, place: Place, versions: Versions = "") -> None:
        self.place = place
        self.name = f"{place.version}-{versions}" if versions else place.version
        self.folder = ROOT / f".venv-{self.name}"
        self.without: list[str] = []
        self.differences: list[str] = []
        self._versions = versions

    @property
    def python(self) -> str:
        return str(self.folder / "bin/python")

    def install(self) -> None:
        """Install everything, unless the same is installed already.

        Raises:
            subprocess.CalledProcessError: Nitro itself can't be installed.
        """
        pyproject = tomllib.loads(PYPROJECT.read_text())
        project, tests = pyproject["project"], pyproject["dependency-groups"]["test"]
        exact = pins(project) if self._versions == "least" else []
        wanted = [project["dependencies"], project["optional-dependencies"], tests, exact]
        stamp = self.folder / "installed.json"
        is_made = stamp.exists() and self._versions != "newest"
        if is_made and (installed := json.loads(stamp.read_text()))["wanted"] == wanted:
            self.without = installed["without"]
            return
        print(f"Installing into {self.folder.name} ...", flush=True)
        self._run(self.place.executable, "-m", "venv", "--clear", str(self.folder))
        self._pip("--upgrade", "pip>=25.1")
        self._pip("--editable", ".[examples]", *exact)
        if not self._is_installed(*tests, *exact):
            self.without = [one for one in tests if not self._is_installed(one, *exact)]
        stamp.write_text(json.dumps({"wanted": wanted, "without": self.without}))
        if self._versions == "newest":
            self.differences = list(differences(LOCK.read_text(), self._installed()))

    def run(self, *command: str) -> int:
        """Run a command of its Python; the exit code."""
        return subprocess.run(self.place.command(self.python, *command), cwd=ROOT).returncode

    def _is_installed(self, *requirements: str) -> bool:
        try:
            self._pip(*requirements)
        except subprocess.CalledProcessError:
            return False
        return True

    def _installed(self) -> dict[str, str]:
        command = self.place.command(self.python, "-m", "pip", "list", "--format", "json")
        listed = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
        return {one["name"]: one["version"] for one in json.loads(listed)}

    def _pip(self, *arguments: str) -> None:
        self._run(self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)

    def _run(self, *command: str) -> None:
        subprocess.run(self.place.command(*command), check=True, cwd=ROOT)
