"""Datastar: `from nitro.datastar import DatastarResponse, emit_elements`. Needs `nitro-realtime[datastar]`."""

from nitro.infrastructure.sse.datastar import (
    DatastarResponse,
    emit_elements,
    emit_signals,
    execute_script,
    redirect,
    remove_elements,
)

__all__ = ["DatastarResponse", "emit_elements", "emit_signals", "execute_script", "redirect", "remove_elements"]
