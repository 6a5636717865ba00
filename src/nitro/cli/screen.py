"""What is written to stdout: coloured lines on a terminal, a JSON text a line into a pipe or file."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

__all__ = ["Screen", "visible"]


def visible(text: str) -> str:
    """The text with what a terminal might obey, or wouldn't show, as escapes: messages are other people's."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


class Screen:
    """Writes messages, gaps and tables, each at once."""

    def __init__(self) -> None:
        self.is_terminal: bool = sys.stdout.isatty()
        if isinstance(sys.stdout, TextIOWrapper):
            if self.is_terminal:
                sys.stdout.reconfigure(errors="backslashreplace")
            else:
                sys.stdout.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale
        self._console = Console(soft_wrap=True, highlight=False)
        self._highlight = JSONHighlighter()

    def message(self, topic: str, data: Any, id: str | None) -> None:
        """A message that was heard."""
        if not self.is_terminal:
            self._line({"topic": topic, "data": data, "id": id})
            return
        shown = self._highlight(visible(json.dumps(data, ensure_ascii=False)))
        time = datetime.now().astimezone().strftime("%H:%M:%S")
        self._console.print(Text.assemble((time, "dim"), "  ", (topic or "(this client)", "bold cyan"), "  ", shown))

    def gap(self, reason: str, resumed_at: str) -> None:
        """Messages that are missing here."""
        if not self.is_terminal:
            self._line({"gap": reason, "resumed_at": resumed_at})
            return
        text = f"-- messages are missing here ({reason}); it goes on behind {visible(resumed_at)}"
        self._console.print(Text(text, "bold yellow"))

    def table(self, rows: dict[str, tuple[Any, str | None]]) -> None:
        """Name → its value for programs, and how people read it; None if they read it elsewhere."""
        if not self.is_terminal:
            self._line({name: value for name, (value, _) in rows.items()})
            return
        table = Table(show_header=False)
        for name, shown in [(name, shown) for name, (_, shown) in rows.items() if shown is not None]:
            table.add_row(Text(name, "bold"), Text(visible(shown)))
        self._console.print(table)

    @staticmethod
    def _line(value: dict[str, Any]) -> None:
        print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)
