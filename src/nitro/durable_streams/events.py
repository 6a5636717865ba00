"""Events: pages of a stream as server-sent events, section 5.8 of the protocol.

Fed by pages; feeds the live reader. Each page is one `data` event and the `control` event that belongs to it.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from pydantic_core import to_json

from nitro.durable_streams.cursor import Cursor
from nitro.streams.items import is_json, media_type
from nitro.streams.page import Page

__all__ = ["COMMENT", "control", "data", "is_text"]

COMMENT: Final = b":\n\n"
"""Says nothing; it keeps proxies from closing a silent connection, and finds clients that are gone."""
_CHARSET: Final = re.compile(r""";[ \t]*charset="?([^ \t";]*)""", re.ASCII | re.IGNORECASE)
_IN_UTF_8: Final = frozenset({"utf-8", "utf8", "us-ascii"})
_LINE_END: Final = re.compile(rb"(?:\r\n|\r|\n)( ?)")


def is_text(content_type: str) -> bool:
    """Whether the content of such a stream can stand in an event as it is: JSON, or text in UTF-8."""
    if not media_type(content_type).startswith("text/"):
        return is_json(content_type)
    charset = _CHARSET.search(content_type)
    return charset is None or charset[1].lower() in _IN_UTF_8


def data(page: Page) -> bytes:
    """The event that holds what the page has; none if it has nothing."""
    if not page.parts:
        return b""
    content_type = page.state.content_type
    if is_json(content_type):
        return b"event: data\ndata:[%b]\n\n" % b",".join(page.items)
    content = b"".join(page.items)
    if not is_text(content_type):
        return b"event: data\ndata:%b\n\n" % base64.b64encode(content)
    # A reader takes one space off the beginning of each line, so a line that begins with one gets another.
    space = b" " if content.startswith(b" ") else b""
    return b"event: data\ndata:%b%b\n\n" % (space, _LINE_END.sub(rb"\ndata:\1\1", content))


def control(page: Page, cursor: Cursor) -> bytes:
    """The event that says where the reader is now."""
    value: dict[str, object] = {"streamNextOffset": str(page.next)}
    if not page.is_closed:
        value["streamCursor"] = cursor.now()
    if page.is_up_to_date:
        value["upToDate"] = True
    if page.is_closed:
        value["streamClosed"] = True
    return b"event: control\ndata:%b\n\n" % to_json(value)
