"""Patches on the wire: recognises a payload that is a Datastar patch, or several, and encodes it as Datastar's events.

`datastar.patch` writes these payloads; `stream()` and Datastar's wire format read them.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import from_json

from nitro.delivery.frame import encode_event

__all__ = ["frame_of"]

_MARK: Final = b'{"datastar":true,"datastar":"'
"""Prefix of a patch's JSON. No other result can have it, since it has the same key twice."""


def frame_of(payload: bytes, id: str | None = None) -> bytes | None:
    """Datastar's events if `payload` is a patch, or several, of which the last one has the id; else None. It is
    validated, since others may write to the log.
    """
    if payload.startswith(_MARK):
        match from_json(payload):
            case {"datastar": "patches", "patches": [*patches, last]}:
                events = [*[_event(each, None) for each in patches], _event(last, id)]
                whole = [each for each in events if each is not None]
                return b"".join(whole) if len(whole) == len(events) else None
            case {"datastar": name, "lines": lines}:
                return _event([name, lines], id)
    return None


def _event(patch: object, id: str | None) -> bytes | None:
    match patch:
        case ["datastar-patch-elements" | "datastar-patch-signals" as name, [*lines]]:
            return encode_event("\n".join(map(str, lines)).encode(errors="replace"), id=id, event=name)
    return None
