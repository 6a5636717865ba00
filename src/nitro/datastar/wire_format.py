"""The wire format of Datastar's response. The patches themselves are made in `nitro.datastar.patch`."""

from __future__ import annotations

from nitro.datastar.patch import Html, Patch
from nitro.delivery.frame import control_frame, encode_event, room_event
from nitro.events.patch_text import frame_of
from nitro.messages.message import Gap, Message, Position

__all__ = ["Html", "Patch", "datastar"]


def datastar(content: Message | Gap | Position | None) -> bytes:
    """Encode a patch as Datastar's event, and anything else as unnamed JSON."""
    if not isinstance(content, Message):
        return control_frame(content)
    patch = frame_of(content.payload, content.id)
    return patch or encode_event(content.payload, id=content.id, event=room_event(content.topic))
