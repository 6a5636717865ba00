"""HTML of rows for Turbo."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nitro.live.markups.base import Changes, payload_of

__all__ = ["Turbo"]


class Turbo:
    """`<turbo-stream>` elements. An element that is appended removes the one with its id, as Turbo has it."""

    def __init__(self, target: str) -> None:
        self._target = target

    def changes(self, changes: Changes) -> bytes:
        streams = [f'<turbo-stream action="remove" target="{escape(id)}"></turbo-stream>' for id in changes.gone]
        streams += [_stream("replace", id, [element]) for id, element in changes.changed.items()]
        for action, placed in (("prepend", changes.first), ("append", changes.last)):
            if placed:
                streams.append(_stream(action, self._target, list(placed.values())))
        return payload_of("".join(streams))

    def all_rows(self, elements: Sequence[str]) -> bytes:
        return payload_of(_stream("update", self._target, elements))

    def more_rows(self, elements: Sequence[str]) -> bytes:
        return payload_of(_stream("append", self._target, elements))


def _stream(action: str, target: str, elements: Sequence[str]) -> str:
    template = f"<template>{''.join(elements)}</template>"
    return f'<turbo-stream action="{action}" target="{escape(target)}">{template}</turbo-stream>'
