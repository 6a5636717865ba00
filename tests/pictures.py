"""Pictures for the documentation: windows of a browser and terminals, beside each other, drawn by the browser itself.

Fed by tests with what they have in their hands: a page, and what a program printed.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page

__all__ = ["VIEW", "Terminal", "Window", "draw", "pressed"]

VIEW: Final = {"width": 400, "height": 270}
"""The size of a page that is shown in a window: small, so that its text can be read where two of them share a line."""

_GAP: Final = 16
_STYLE: Final = f"""
* {{ box-sizing: border-box; margin: 0; }}
body {{ width: {2 * VIEW["width"] + 3 * _GAP + 4}px; padding: {_GAP}px; background: #e6ece8;
  display: flex; flex-wrap: wrap; gap: {_GAP}px; font: 13px/1.5 "Liberation Sans", sans-serif; color: #191c1a; }}
figure {{ flex: 1 1 {VIEW["width"] + 2}px; border: 1px solid #b4bfb8; border-radius: 9px;
  overflow: hidden; background: #fff; }}
figcaption {{ display: flex; align-items: center; gap: 6px; height: 34px; padding: 0 12px; background: #f4f6f4;
  border-bottom: 1px solid #d3dad5; }}
i {{ width: 10px; height: 10px; border-radius: 50%; background: #c3cac5; }}
span {{ flex: 1; margin-left: 8px; padding: 2px 10px; border-radius: 6px; background: #fff; color: #3d4641; }}
em {{ font-style: normal; color: #5f6862; }}
img {{ display: block; width: {VIEW["width"]}px; height: {VIEW["height"]}px; }}
.wide {{ flex-basis: 100%; }}
.terminal figcaption span {{ background: none; padding: 0; }}
pre {{ min-height: 100%; padding: 12px 14px; background: #17211b; color: #dfe7e2;
  font: 12px/1.6 "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}
b {{ font-weight: 400; color: #8fd6ae; }}
"""
_DOTS: Final = "<i></i><i></i><i></i>"


@dataclass(frozen=True, slots=True)
class Window:
    """A browser's window that shows the page as it is now. Its bar shows `address`, and `note` beside it."""

    page: Page
    address: str
    note: str = ""

    def html(self) -> str:
        self.page.evaluate("document.activeElement.blur()")
        self.page.mouse.move(0, 0)
        png = base64.b64encode(self.page.screenshot(animations="disabled", caret="hide")).decode()
        bar = f"{_DOTS}<span>{escape(self.address)}</span><em>{escape(self.note)}</em>"
        return f'<figure><figcaption>{bar}</figcaption><img src="data:image/png;base64,{png}"></figure>'


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal with what a person sees in it; lines that begin with `$ ` are what was typed."""

    title: str
    text: str
    is_wide: bool = False

    def html(self) -> str:
        text = re.sub(r"^\$", "<b>$</b>", escape(self.text).rstrip(), flags=re.MULTILINE)
        kind = "terminal wide" if self.is_wide else "terminal"
        caption = f"<figcaption>{_DOTS}<span>{escape(self.title)}</span></figcaption>"
        return f'<figure class="{kind}">{caption}<pre>{text}</pre></figure>'


def draw(browser: Browser, path: Path, *shown: Window | Terminal) -> None:
    """Write a PNG of them, two in each line, at twice its size for sharp screens."""
    figures = "".join(each.html() for each in shown)
    context = browser.new_context(viewport={"width": 100, "height": 100}, device_scale_factor=2)
    page = context.new_page()
    page.set_content(f"<!doctype html><style>{_STYLE}</style><body>{figures}</body>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pressed(page.locator("body").screenshot()))
    context.close()


def pressed(png: bytes) -> bytes:
    """The picture in 256 colours, in less than half of the bytes."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()
