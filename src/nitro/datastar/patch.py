"""Patch: one change of a page by Datastar, as the result of an event.

Made by the helpers in `nitro.datastar` and `helpers.py`; decoded by `events.patch_text`. The names of the fields come
from datastar-py; the lines are built here, since that library splits HTML at characters that are no line ends in SSE.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, Protocol, Self

from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.datastructures import URL

from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidField, InvalidPayload
from nitro.events.patch_text import frame_of
from nitro.events.payload import encode
from nitro.settings import get_settings

__all__ = ["Attributes", "Html", "Patch", "Patches"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_NO_LINE: Final = re.compile(r"[\r\n\0\ud800-\udfff]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_SCHEME: Final = re.compile(r"[\0-\x20]*([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_ENDS_SCRIPT: Final = re.compile(r"</script|<!--", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"""([^\s"'<>/=\0-\x1f]+)(?:=(?:"([^"<>]*)"|'([^'<>]*)'))?""")

Attributes = Mapping[str, str] | Sequence[str]
"""Attributes of a script element: a mapping of names and values, or a list of them as written in HTML."""


class Html(Protocol):
    """Safe HTML of a template library, such as markupsafe's `Markup`."""

    def __html__(self) -> str: ...


class Patch(BaseModel):
    """A patch, whose JSON has the same key twice, as no other result's can: so emitted data, which may contain user
    input, is never mistaken for a patch or a script.

    Attributes:
        name: the name of Datastar's event.
        lines: the lines of its data, each with a field's name and a part of its value.
    """

    mark: bool = Field(True, serialization_alias="datastar")
    name: str = Field(serialization_alias="datastar")
    lines: list[str]

    @property
    def frame(self) -> str:
        """The text of Datastar's event without an id, as `stream()` yields it."""
        return (frame_of(encode(self, get_settings().max_payload_bytes)) or b"").decode()

    @classmethod
    def of_elements(
        cls, elements: str | Html, selector: str | None, mode: str | None, use_view_transition: bool | None
    ) -> Self:
        """See `emit_elements`."""
        consts = _consts()
        modes = list(consts.ElementPatchMode)
        if mode is not None and mode not in modes:
            raise InvalidField(f"{mode!r} is no mode of Datastar's; use one of {', '.join(modes)}")
        if not selector and mode not in (None, consts.ElementPatchMode.OUTER, consts.ElementPatchMode.REPLACE):
            raise InvalidField(
                f"mode {mode} needs a selector: Datastar finds elements by their ids only to replace them"
            )
        if selector is not None and _NO_LINE.search(_text(selector, "a selector")):
            raise InvalidField(f"a selector can't contain a line end, NUL or a lone surrogate: {selector!a}")
        lines = []
        if mode is not None and mode != consts.ElementPatchMode.OUTER:
            lines.append(f"{consts.MODE_DATALINE_LITERAL} {mode}")
        if selector:
            lines.append(f"{consts.SELECTOR_DATALINE_LITERAL} {selector}")
        if use_view_transition:
            lines.append(f"{consts.USE_VIEW_TRANSITION_DATALINE_LITERAL} true")
        whole = elements.__html__() if hasattr(elements, "__html__") else _text(elements, "what is patched into a page")
        if found := _SURROGATE.search(whole):
            raise InvalidPayload(
                f"elements contain a lone surrogate, {found[0]!a} at character {found.start()}, which can't be encoded "
                f"as UTF-8; clean untrusted text by text.encode(errors='replace').decode()"
            )
        rows = _LINE_END.split(whole)
        if not rows[-1]:  # after a line end, or of an empty text
            rows.pop()
        lines += [f"{consts.ELEMENTS_DATALINE_LITERAL} {row}" for row in rows]
        return cls(name=consts.EventType.PATCH_ELEMENTS, lines=lines)

    @classmethod
    def of_removal(cls, selector: str) -> Self:
        """See `remove_elements`."""
        if not selector:
            raise InvalidField("remove_elements needs a selector")
        return cls.of_elements("", selector, "remove", None)

    @classmethod
    def of_script(cls, script: str, auto_remove: bool, attributes: Attributes | None) -> Self:
        """See `execute_script`."""
        if _ENDS_SCRIPT.search(_text(script, "a script")):
            raise InvalidField(r"a script can't contain </script or <!--; write \u003c for a < in its strings")
        written = ' data-effect="el.remove()"' if auto_remove else ""
        written += "".join(f" {each}" for each in _written(attributes or ()))
        return cls.of_elements(f"<script{written}>{script}</script>", "body", "append", None)

    @classmethod
    def of_redirect(cls, location: str | URL) -> Self:
        """See `redirect`."""
        location = _text(str(location) if isinstance(location, URL) else location, "a location")
        scheme = _SCHEME.match(re.sub(r"[\t\r\n]", "", location))  # browsers ignore these, too
        if scheme is not None and scheme[1].lower() not in ("http", "https"):
            raise InvalidField(f"a page can be redirected to a path, http or https, not to {location!a:.80}")
        target = json.dumps(location).replace("<", r"\u003c")
        return cls.of_script(f"setTimeout(() => window.location = {target})", True, None)

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


class Patches(BaseModel):
    """Several patches in one payload, which come as an event each; the last one has the id, as only then all are there.

    Attributes:
        name: what tells it from a `Patch`.
        patches: the name and the lines of each.
    """

    mark: bool = Field(True, serialization_alias="datastar")
    name: str = Field("patches", serialization_alias="datastar")
    patches: list[tuple[str, list[str]]]

    @classmethod
    def of(cls, patches: Sequence[Patch]) -> Self:
        """Those patches, in their order."""
        return cls(patches=[(patch.name, patch.lines) for patch in patches])


def _consts() -> ModuleType:
    try:
        from datastar_py import consts
    except ImportError as error:
        raise ConfigurationError("Datastar's events need datastar-py; install nitro-realtime[datastar]") from error
    return consts


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{what} is a string, not {type(value).__name__}")
    return value


def _written(attributes: Attributes) -> list[str]:
    """Attributes as HTML.

    Raises:
        InvalidField: one is not valid, and would change the element or lose its meaning.
        ArgumentTypeError: they are one string.
    """
    if isinstance(attributes, str):
        raise ArgumentTypeError(f"attributes are a mapping or a list, attributes=[{attributes!a:.80}], not one string")
    if isinstance(attributes, Mapping):
        for name, value in attributes.items():
            if value is None or isinstance(value, bool):
                raise InvalidField(
                    f"the attribute {name!a:.80} of a script has {value} as its value, which HTML has not: leave it "
                    f"out, or give its name alone in a list, as attributes=['async']"
                )
        attributes = [f'{name}="{html.escape(str(value))}"' for name, value in attributes.items()]
    for each in attributes:
        if not isinstance(each, str) or _ATTRIBUTE.fullmatch(each) is None:
            raise InvalidField(f'an attribute of a script is a name, or name="value", not {each!a:.80}')
    return list(attributes)
