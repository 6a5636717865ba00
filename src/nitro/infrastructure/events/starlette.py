"""Datastar's helpers under the path that the linked pages give them."""

from nitro.datastar.helpers import emit_elements, emit_signals, execute_script, redirect, remove_elements

__all__ = ["emit_elements", "emit_signals", "execute_script", "redirect", "remove_elements"]
