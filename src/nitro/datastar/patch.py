"""Patch: one change that Datastar makes to a page, as the result of an event, and its wire form.

Made by the helpers of this package, read by its response. The names of the fields are datastar-py's; the lines are
made here, since that library splits HTML at characters that end no line on the wire.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any, Final, Protocol, Self

from pydantic import BaseModel, Field
from pydantic_core import from_json

from nitro.domain.message import Gap, Message, Position
from nitro.errors import ConfigurationError, InvalidField, InvalidPayload
from nitro.infrastructure.delivery.frame import aside, encode_event
from nitro.infrastructure.events.payload import encode
from nitro.settings import get_settings

__all__ = ["Html", "Patch", "datastar"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_NO_LINE: Final = re.compile(r"[\r\n\0]")
_MARK: Final = b'{"datastar":true,"datastar":"'


class Html(Protocol):
    """What a template library makes, ready to be put into a page."""

    def __html__(self) -> str: ...


class Patch(BaseModel):
    """Its JSON has one key twice, which that of no other result can have: so nobody who has a say in what an
    application emits as data can have it taken for a change to the page, or for a script.

    Attributes:
        name: of Datastar's event.
        lines: its data, each line a field's name and a part of its value.
    """

    mark: bool = Field(True, serialization_alias="datastar")
    name: str = Field(serialization_alias="datastar")
    lines: list[str]

    @classmethod
    def of_elements(
        cls, elements: str | Html, selector: str | None, mode: str | None, use_view_transition: bool | None
    ) -> Self:
        """See `emit_elements`."""
        consts = _consts()
        modes = list(consts.ElementPatchMode)
        if mode is not None and mode not in modes:
            raise InvalidField(f"{mode!r} is no mode of Datastar's; there are {', '.join(modes)}")
        if selector is not None and _NO_LINE.search(selector):
            raise InvalidField(f"a selector can't hold a line end or NUL: {selector!a}")
        lines = []
        if mode is not None and mode != consts.ElementPatchMode.OUTER:
            lines.append(f"{consts.MODE_DATALINE_LITERAL} {mode}")
        if selector:
            lines.append(f"{consts.SELECTOR_DATALINE_LITERAL} {selector}")
        if use_view_transition:
            lines.append(f"{consts.USE_VIEW_TRANSITION_DATALINE_LITERAL} true")
        html = _LINE_END.split(elements if isinstance(elements, str) else elements.__html__())
        if not html[-1]:  # it ends with a line end, or there is none
            html.pop()
        lines += [f"{consts.ELEMENTS_DATALINE_LITERAL} {line}" for line in html]
        return cls(name=consts.EventType.PATCH_ELEMENTS, lines=lines)

    @classmethod
    def of_signals(cls, signals: Any, only_if_missing: bool | None) -> Self:
        """See `emit_signals`."""
        consts = _consts()
        if isinstance(signals, str):
            try:
                signals = from_json(signals)
            except ValueError as error:
                raise InvalidPayload(f"signals are no JSON: {error}") from error
        written = encode(signals, get_settings().max_payload_bytes).decode()
        if not written.startswith("{"):
            raise InvalidPayload(f"signals are an object of names and values, not {written:.40}")
        lines = [f"{consts.ONLY_IF_MISSING_DATALINE_LITERAL} true"] if only_if_missing else []
        lines.append(f"{consts.SIGNALS_DATALINE_LITERAL} {written}")
        return cls(name=consts.EventType.PATCH_SIGNALS, lines=lines)


def datastar(content: Message | Gap | Position) -> bytes:
    """A patch as Datastar's event, anything else as unnamed JSON."""
    if not isinstance(content, Message):
        return aside(content)
    if content.payload.startswith(_MARK):
        match from_json(content.payload):  # it may come from a log that others write to
            case {"datastar": "datastar-patch-elements" | "datastar-patch-signals" as name, "lines": [*lines]}:
                data = "\n".join(map(str, lines)).encode(errors="replace")
                return encode_event(data, id=content.id, event=name)
    return encode_event(content.payload, id=content.id)


def _consts() -> ModuleType:
    try:
        from datastar_py import consts
    except ImportError as error:
        raise ConfigurationError("Datastar's events need datastar-py; install nitro-realtime[datastar]") from error
    return consts
