"""Warnings for emits that reach nobody by mistake, once for each line of the application's code.

Called by an emission without a result.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import is_dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any, Final

from nitro.events.caller import place_of_caller, warn_caller
from nitro.events.signal import Signal

__all__ = ["warn_if_unheard"]

_OWN: Final = frozenset({"client_lifecycle"})
"""Nitro's own events, which need no handler."""
_MEANT: Final = ("data", "payload", "value", "values", "message", "body", "content", "json", "item", "obj", "object")
"""Keywords that are likely meant as the result."""
_LEAST_LIKENESS: Final = 0.8

_first_names: Final[dict[tuple[str, int], str]] = {}
"""File and line of an emit → name of the first event warned about there. Python remembers each warning's text, and
there may be a name for each user: so only this name, and those of events in a namespace, are shown."""


def warn_if_unheard(signal: Signal, sender: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Warn if there is no result, and the event has no handlers or another argument looks like the result.

    Raises:
        NitroWarning: the application turns warnings into errors.
    """
    slip = None
    for name in kwargs:
        if _is_misspelt(name):
            slip = name
    if slip is None and signal.receivers and type(sender) is str:
        return  # the common case
    if "result" in kwargs or signal.name in _OWN or signal.is_muted or not signal.is_heard:
        return
    is_handled = signal.is_handled
    if slip is not None and is_handled and _is_asked_for(signal, sender, slip):
        slip = None
    is_data = _is_data(sender)
    if is_handled and slip is None and not is_data:
        return
    if slip is None:
        slip = next((name for name in kwargs if name.lower() in _MEANT), None)
    shown = _shown_name(signal)
    sends = "nothing is sent to clients" if is_handled else "nothing is sent to clients, and nobody handles it"
    warn_caller(f"emit({shown}, …) without result=: {sends}; {_remedy(shown, sender, args, slip, is_data)}")


def _remedy(name: str, sender: Any, args: tuple[Any, ...], slip: str | None, is_data: bool) -> str:
    if slip is not None:
        return f"{slip}= is for handlers alone; clients get what is given as result: emit({name}, sender, result=…)"
    if is_data:
        kind = type(sender).__name__
        return (
            f"the {kind} is passed as the sender, and has no id; was it meant for clients? "
            f"emit({name}, result=<the {kind}>), or emit({name}, sender, result=<the {kind}>)"
        )
    if args:
        return f"arguments after the sender are for handlers alone: emit({name}, sender, result=…)"
    return f"pass what clients get as result: emit({name}, sender, result=…)"


@lru_cache(maxsize=1024)
def _is_misspelt(name: str) -> bool:
    return name != "result" and SequenceMatcher(None, name.lower(), "result").ratio() >= _LEAST_LIKENESS


def _is_asked_for(signal: Signal, sender: Any, keyword: str) -> bool:
    """Whether one of the handlers has a parameter of that name, so that it is no mistake."""
    for _, handler in signal.handlers_for(sender):
        try:
            if keyword in inspect.signature(handler).parameters:
                return True
        except (TypeError, ValueError):  # a builtin without a signature
            continue
    return False


def _is_data(sender: Any) -> bool:
    """Whether `sender` looks like data for clients rather than a sender."""
    if hasattr(sender, "id") or isinstance(sender, type):
        return False
    return (
        isinstance(sender, dict | list | tuple | set | frozenset)
        or hasattr(type(sender), "model_fields")
        or is_dataclass(sender)
    )


def _shown_name(signal: Signal) -> str:
    if signal.is_kept or _first_names.setdefault(place_of_caller(), signal.name) == signal.name:
        return repr(signal.name)
    return "event"
