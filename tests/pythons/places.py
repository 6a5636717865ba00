"""Where the Pythons are: on this machine, by name or with pyenv, or in Debian's unstable distribution."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.pythons.debian import ROOT, Debian

__all__ = ["Place", "find", "supported"]


@dataclass(frozen=True, slots=True)
class Place:
    """One Python, and how it is run."""

    version: str
    executable: str
    debian: Debian | None = None

    def command(self, *command: str) -> list[str]:
        """The words that run `command` where this Python is."""
        return list(command) if self.debian is None else self.debian.command(*command)


def supported() -> list[str]:
    """The versions that pyproject.toml says it supports, the oldest first."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return [found.rpartition(" ")[2] for found in classifiers if " :: Python :: 3." in found]


def find(version: str, *, may_make: bool = True) -> Place | str:
    """Where Python `version`, such as `"3.14"`, is; or why it is nowhere.

    Without `may_make` Debian's distribution is only asked if it is in `.pythons` already.
    """
    for executable in _here(version):
        script = "import sys; print('%d.%d' % sys.version_info[:2])"
        asked = subprocess.run([executable, "-c", script], capture_output=True)
        if asked.stdout.decode().strip() == version:
            return Place(version, executable)
    debian = Debian()
    if not may_make and not debian.is_made:
        return "it is not on this machine, and `make test-all` has made no distribution in .pythons"
    if reason := debian.missing():
        return f"it is not on this machine, and {reason}"
    debian.make()
    inside = debian.install_python(version)
    if inside is None:
        return "it is not on this machine, and Debian's unstable distribution has none"
    return Place(version, inside, debian)


def _here(version: str) -> list[str]:
    """Candidates: a name on the path, which may be a shim of pyenv's that refuses, and what pyenv has."""
    found = [path for path in [shutil.which(f"python{version}")] if path]
    if pyenv := shutil.which("pyenv"):
        root = Path(subprocess.run([pyenv, "root"], capture_output=True, text=True).stdout.strip())
        found += sorted(map(str, root.glob(f"versions/{version}.*/bin/python")), key=_patch_level, reverse=True)
    return found


def _patch_level(path: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in Path(path).parent.parent.name.split("."))
