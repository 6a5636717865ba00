"""The lowest versions that pyproject.toml allows of what Nitro is built on, as exact pins.

Read from `dependencies` and from the extras that users install, so nothing is copied by hand. What only the tests need
stays as new as it can be, and so does what these packages need themselves. Unlike uv's `lowest-direct` the pins raise
no version because of another: pip refuses them then, since nobody could have what pyproject.toml promises.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = ["PYPROJECT", "pins"]

PYPROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(\[[^]]*\])?\s*>=\s*([0-9][0-9a-z.]*)([^;]*)(;.*)?")


def pins(project: dict[str, Any]) -> list[str]:
    """`name==version` of each direct dependency in the table `project`, with its extras and its marker.

    Raises:
        ValueError: a requirement has no lowest version, or two.
    """
    extras: dict[str, list[str]] = project["optional-dependencies"]
    lowest: dict[str, str] = {}
    for requirement in [*project["dependencies"], *(one for extra in extras.values() for one in extra)]:
        if requirement.startswith(project["name"]):  # an extra that brings another one
            continue
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None:
            raise ValueError(f"{requirement!r} in pyproject.toml has no lowest version; write name>=version")
        name, brings, version, _, marker = found.groups(default="")
        pin = f"{name}{brings}=={version}{marker}"
        if lowest.setdefault(name, pin) != pin:
            raise ValueError(f"pyproject.toml has both {lowest[name]!r} and {pin!r} as the lowest version")
    return list(lowest.values())
