"""Patches on the wire: recognises a payload that is a Datastar patch, and encodes it as Datastar's event.

`datastar.patch.Patch` writes these payloads; `stream()` and Datastar's wire format read them.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import from_json

from nitro.delivery.frame import encode_event

__all__ = ["frame_of"]

_MARK: Final = b'{"datastar":true,"datastar":"'
"""Prefix of a patch's JSON. No other result can have it, since it has the same key twice."""


def frame_of(payload: bytes, id: str | None = None) -> bytes | None:
    """Datastar's event if `payload` is a patch, else None. It is validated, since others may write to the log."""
    if payload.startswith(_MARK):
        match from_json(payload):
            case {"datastar": "datastar-patch-elements" | "datastar-patch-signals" as name, "lines": [*lines]}:
                return encode_event("\n".join(map(str, lines)).encode(errors="replace"), id=id, event=name)
    return None
