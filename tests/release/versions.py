"""The version, which stands in several places, and the changelog, whose newest heading is one of them."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Final

from tests.pythons.debian import ROOT

__all__ = ["CHANGELOG", "check_headings", "headings", "in_package_json", "in_pyproject", "links", "section"]

CHANGELOG: Final = ROOT / "CHANGELOG.md"
_HEADING: Final = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
_LINK: Final = re.compile(r"^\[([^\]]+)\]: (https://\S+)$", re.MULTILINE)


def in_pyproject() -> str:
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def in_package_json() -> str:
    """Of the browser client; its lock has the same, twice.

    Raises:
        ValueError: the lock has another.
    """
    version: str = json.loads((ROOT / "js/package.json").read_text())["version"]
    lock = json.loads((ROOT / "js/package-lock.json").read_text())
    if {lock["version"], lock["packages"][""]["version"]} != {version}:
        raise ValueError("js/package-lock.json has another version: npm install --package-lock-only")
    return version


def headings(changelog: str) -> list[tuple[str, str]]:
    """Each version with its date, the newest first; the date of `Unreleased` is empty."""
    return _HEADING.findall(changelog)


def check_headings(found: list[tuple[str, str]], version: str, tag: str = "") -> None:
    """The newest version that was released is this one; above it there may be `Unreleased`, if nothing is tagged.

    Raises:
        AssertionError: it isn't.
    """
    assert found, "CHANGELOG.md has no version"
    dated = [(name, date) for name, date in found if name != "Unreleased"]
    assert all(date for _, date in dated), "in CHANGELOG.md, each version but Unreleased has a date"
    assert found[-len(dated) :] == dated or not dated, "in CHANGELOG.md, Unreleased stands above all versions"
    if dated:
        assert dated[0][0] == version, f"the newest version in CHANGELOG.md is {dated[0][0]}, and not {version}"
    if tag:
        assert tag == f"v{version}", f"the tag is {tag}, and the version {version}"
        assert found[0][0] == version, f"CHANGELOG.md has {found[0][0]} above all; write {version} with its date"


def section(changelog: str, version: str) -> str:
    """What the changelog says of a version, below its heading, without the links at its end.

    Raises:
        AssertionError: it says nothing.
    """
    _, _, after = changelog.partition(f"\n## [{version}]")
    text = _LINK.sub("", re.split(r"^## ", after.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]).strip()
    assert text, f"CHANGELOG.md says nothing of {version}"
    return text + "\n"


def links(changelog: str) -> dict[str, str]:
    """Where each version's heading leads to."""
    return dict(_LINK.findall(changelog))
