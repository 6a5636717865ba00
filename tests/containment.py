"""Whether one pattern contains another, as the code decides it for rights: alone, and by the index of many."""

from __future__ import annotations

from nitro.access.permissions import Permissions

__all__ = ["contains", "granting"]

_OTHERS = [f"nitro.{n}" for n in range(9)]
"""Beside these a grant is looked up by the index; they are reserved, so nobody asks for them."""


def granting(*grants: str) -> tuple[Permissions, Permissions]:
    """What allows all of these: so few that they may be compared one by one, and beside many others."""
    return Permissions.of(dict.fromkeys(grants), {}), Permissions.of(dict.fromkeys([*grants, *_OTHERS]), {})


def contains(grant: str, pattern: str) -> bool:
    """Whether who is granted `grant` may subscribe to `pattern`."""
    few, many = (permissions.cover(pattern, None) for permissions in granting(grant))
    assert few == many, "the index finds another answer"
    return few
