"""The wire form of Datastar's response. The patches themselves are made in `nitro.infrastructure.events.patch`."""

from __future__ import annotations

from nitro.domain.message import Gap, Message, Position
from nitro.infrastructure.delivery.frame import aside, encode_event
from nitro.infrastructure.events.patch import Html, Patch
from nitro.infrastructure.events.patch_text import frame_of

__all__ = ["Html", "Patch", "datastar"]


def datastar(content: Message | Gap | Position | None) -> bytes:
    """A patch as Datastar's event, anything else as unnamed JSON."""
    if not isinstance(content, Message):
        return aside(content)
    return frame_of(content.payload, content.id) or encode_event(content.payload, id=content.id)
