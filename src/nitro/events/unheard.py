"""What is emitted and can reach nobody, though it was meant to: told to the emitter, once for each place in its code.

Fed by an emission that has no result; feeds Python's warnings.
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
"""Events of Nitro's own, which need no handler."""
_MEANT: Final = ("data", "payload", "value", "values", "message", "body", "content", "json", "item", "obj", "object")
"""Keywords that others call the result by."""
_LEAST_LIKENESS: Final = 0.8

_first_names: Final[dict[tuple[str, int], str]] = {}
"""Place in the code → the name of the first event that was told of there. Names can be as many as users are, and
Python keeps each text that it has warned with: so only this one, and those of events that are kept, are spelled."""


def warn_if_unheard(signal: Signal, sender: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Warn where no result was given, and either nobody handles the event or what was given looks like the result.

    Raises:
        NitroWarning: where the application has made errors of warnings.
    """
    slip = None
    for name in kwargs:
        if _is_misspelt(name):
            slip = name
    if slip is None and signal.receivers and type(sender) is str:
        return  # as most are
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
            f"the {kind} stands where the sender does, and has no id; was it meant for clients? "
            f"emit({name}, result=<the {kind}>), or emit({name}, sender, result=<the {kind}>)"
        )
    if args:
        return f"what is given behind the sender is for handlers alone: emit({name}, sender, result=…)"
    return f"give clients what they shall get: emit({name}, sender, result=…)"


@lru_cache(maxsize=1024)
def _is_misspelt(name: str) -> bool:
    return name != "result" and SequenceMatcher(None, name.lower(), "result").ratio() >= _LEAST_LIKENESS


def _is_asked_for(signal: Signal, sender: Any, keyword: str) -> bool:
    """Whether one of the handlers names that keyword, so that it was meant."""
    for _, handler in signal.handlers_for(sender):
        try:
            if keyword in inspect.signature(handler).parameters:
                return True
        except (TypeError, ValueError):  # something built in, which can't be asked
            continue
    return False


def _is_data(sender: Any) -> bool:
    """Whether it looks like what a client should get, rather than like somebody who emits."""
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
