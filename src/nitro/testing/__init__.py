"""For tests: what an application emits, an oracle for deliveries, a conformance suite for logs, and the nemesis."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nitro.testing.emitted import captured as captured

__all__ = ["captured"]


if not TYPE_CHECKING:  # for a type checker, it would make every misspelt name valid

    def __getattr__(name: str) -> Any:
        """Imported at first use: the oracle and the nemesis judge programs that don't use Nitro, too."""
        if name == "captured":
            return import_module("nitro.testing.emitted").captured
        raise AttributeError(f"module 'nitro.testing' has no attribute {name!r}")
