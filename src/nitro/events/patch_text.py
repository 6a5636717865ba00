"""Patches on the wire: how a payload is known to be one, and the frame that it is for Datastar.

Fed by payloads of the log; feeds `stream()` and the wire form of Datastar's responses. `patch.Patch` writes them.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import from_json

from nitro.delivery.frame import encode_event

__all__ = ["frame_of"]

_MARK: Final = b'{"datastar":true,"datastar":"'
"""How the JSON of a patch begins, and that of no other result can: it has one key twice."""


def frame_of(payload: bytes, id: str | None = None) -> bytes | None:
    """Datastar's event, if `payload` is a patch, and None if not; it may come from a log that others write to."""
    if payload.startswith(_MARK):
        match from_json(payload):
            case {"datastar": "datastar-patch-elements" | "datastar-patch-signals" as name, "lines": [*lines]}:
                return encode_event("\n".join(map(str, lines)).encode(errors="replace"), id=id, event=name)
    return None
