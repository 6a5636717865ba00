"""Benchmarks that measure for themselves, run in one round by tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import ROOT

__all__ = ["figures"]


def figures(program: str, what: str, file: Path, *options: str) -> list[dict[str, Any]]:
    """What a program of `benchmarks/` measures in one round."""
    command = [sys.executable, str(ROOT / f"benchmarks/{program}.py"), what, "--rounds", "1", "--json", str(file)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NITRO_")}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(file.read_text())["figures"]
    assert all(each["case"] in done.stdout for each in found)
    return found
