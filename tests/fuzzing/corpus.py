"""The corpus: for each target the inputs that reach the most of it. Filled by the fuzzer, kept in the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
MAX_FILES = 150
MAX_BYTES = 4096


def directory(target: str) -> Path:
    return CORPUS / target


def files(target: str) -> list[Path]:
    """The kept inputs of a target, the shortest first."""
    return sorted(directory(target).glob("*"), key=lambda path: (path.stat().st_size, path.name))


def replace(target: str, merged: Path) -> int:
    """Keep of the merged inputs as many as may be, of all lengths; how many that are."""
    found = sorted(merged.glob("*"), key=lambda path: (path.stat().st_size, path.name))
    fitting = [path for path in found if path.stat().st_size <= MAX_BYTES]
    count = min(len(fitting), MAX_FILES)
    kept = [fitting[place * len(fitting) // count] for place in range(count)]
    shutil.rmtree(directory(target), ignore_errors=True)
    directory(target).mkdir(parents=True)
    for path in kept:
        shutil.copy(path, directory(target))
    return count
