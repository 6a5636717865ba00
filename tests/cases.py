"""How the cases of a parametrized test are named."""

from __future__ import annotations

import re

__all__ = ["shown"]


def shown(value: object) -> str:
    """A value as a case's name. It is the same in each process, so it has no address, and sets have an order."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!a}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(ascii, value))) + "}"
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))[:60]
