"""The subject of a key: each key of a namespace has one subject, in which all its messages are.

Fed by the NATS store. A key is split at its first slashes, so that a beginning that ends with a slash is asked of the
server as a wildcard. What a subject may not hold is percent-encoded, and a long key is hashed: then its messages say
it in a header.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final
from urllib.parse import unquote

__all__ = ["LONG", "Subjects"]

LONG: Final = "%long"
"""The first token of a key that is hashed. No other token has letters like that behind a percent sign."""
_EMPTY: Final = "%"
_SPLITS: Final = 7
_LONGEST_BYTES: Final = 1_000
"""Of a key in a subject: nats-server accepts 4,096 bytes in a line of its protocol, with an inbox and numbers."""
_ESCAPED: Final = re.compile(r"[\x00-\x20.*>%\x7f]")


class Subjects:
    """The subjects of one namespace.

    Attributes:
        all: a wildcard for all that is stored.
        news: a wildcard for what the server republishes.
        remedy: what a user has to be allowed who isn't.
    """

    def __init__(self, namespace: str) -> None:
        self._stored = f"nitro.{namespace}.streams."
        self._news = f"nitro.{namespace}.news."
        self.all: str = f"{self._stored}>"
        self.news: str = f"{self._news}>"
        self.remedy: str = (
            f"Let its user publish to {self.all} and $JS.API.>, and subscribe to {self.news}, _INBOX.> and "
            f"$JS.EVENT.ADVISORY.STREAM.>"
        )

    def of(self, key: str) -> str:
        """Where the key's messages are stored."""
        return self._stored + _tokens_of(key)

    def news_of(self, key: str) -> str:
        """Where the key's messages are republished."""
        return self._news + _tokens_of(key)

    def beginning(self, prefix: str) -> str:
        """A wildcard for the keys that begin with it, and maybe some more; without those that are hashed."""
        return self._stored + "".join(f"{_token(part)}." for part in prefix.split("/", _SPLITS)[:-1]) + ">"

    @property
    def long(self) -> str:
        """A wildcard for the keys that are hashed."""
        return f"{self._stored}{LONG}.*"

    def key(self, subject: str) -> str | None:
        """The key of a subject; None if it is hashed."""
        tokens = subject.removeprefix(self._stored).split(".")
        if tokens[0] == LONG:
            return None
        return "/".join("" if token == _EMPTY else unquote(token) for token in tokens)


def _tokens_of(key: str) -> str:
    tokens = ".".join(map(_token, key.split("/", _SPLITS)))
    if len(tokens) * 4 > _LONGEST_BYTES and len(tokens.encode()) > _LONGEST_BYTES:
        return f"{LONG}.{hashlib.sha256(key.encode()).hexdigest()}"
    return tokens


def _token(part: str) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", part) or _EMPTY
