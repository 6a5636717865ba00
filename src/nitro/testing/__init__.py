"""For tests: what an application emits, an oracle for deliveries, a conformance suite for logs, and the nemesis."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nitro.testing.emitted import captured as captured
    from nitro.testing.streaming import stream as stream

_PLACES: Final = {"captured": "nitro.testing.emitted", "stream": "nitro.testing.streaming"}

__all__ = ["captured", "stream"]


if not TYPE_CHECKING:  # for a type checker, it would make every misspelt name valid

    def __getattr__(name: str) -> Any:
        """Imported at first use: the oracle and the nemesis judge programs that don't use Nitro, too."""
        if name in _PLACES:
            return getattr(import_module(_PLACES[name]), name)
        raise AttributeError(f"module 'nitro.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
