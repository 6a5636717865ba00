"""The newest versions of everything, and how they differ from those that development.lock holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from tests.pythons.debian import ROOT

__all__ = ["LOCK", "differences"]

LOCK: Final = ROOT / "development.lock"
_PIN: Final = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


def differences(lock: str, installed: Mapping[str, str]) -> Iterator[str]:
    """A line for each package that is installed in another version than `lock` has it; it may have several of one."""
    locked: dict[str, list[str]] = {}
    for name, version in _PIN.findall(lock):
        locked.setdefault(_normal(name), []).append(version)
    for name, version in sorted((_normal(name), version) for name, version in installed.items()):
        if version in locked.get(name, [version]):
            continue
        is_newer = all(_parts(version) > _parts(one) for one in locked[name])
        told = f"{name} {version} ({', '.join(locked[name])})"
        yield f"{'newer' if is_newer else 'OLDER'} than in development.lock: {told}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _parts(version: str) -> list[int]:
    """For versions of releases, which these are: what is installed is no pre-release unless it is pinned."""
    return [int(part) for part in re.findall(r"\d+", version)]
