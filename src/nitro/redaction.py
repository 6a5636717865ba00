"""Redaction: removes secrets from URLs and servers' error texts before they are shown.

Used by settings, brokers and the repository; every text that shows a URL goes through this module.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import SecretStr

__all__ = ["ENCODE", "SecretUrl", "cause_of", "scheme_of", "text_of", "without_echo", "without_secrets"]

ENCODE: Final = (
    "in user and password write %2F for /, %3F for ?, %23 for #, %40 for @, %5B for [ and %25 for %, as "
    "urllib.parse.quote(password, safe='') does"
)
"""The remedy for a URL that can't be parsed."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,39}", re.ASCII)
_HOST: Final = r"(?:\[[^\[\]\s]*\]|[^\[\]:,\s]*)(?::[0-9]*)?"
_HOSTS: Final = re.compile(rf"{_HOST}(?:,{_HOST})*", re.ASCII)
_FILE: Final = re.compile(r"(?:sqlite(?:\+\w+)?|redis\+unix):///", re.ASCII)
"""URLs without a host and user; their path may contain an `@`."""
_ECHO: Final = re.compile(r",? *with args beginning with.*", re.DOTALL | re.IGNORECASE)
"""Part of a Redis error that repeats the arguments of an unknown command, which may be a login."""


class SecretUrl(SecretStr):
    """A URL that is shown `without_secrets`; `get_secret_value()` returns all of it."""

    def _display(self) -> str:
        return without_secrets(self.get_secret_value())


def scheme_of(url: str) -> str:
    """The text before the first colon, if it is a scheme rather than a user or password; else an empty string."""
    scheme, colon, rest = url.partition(":")
    is_scheme = colon and (rest.startswith("//") or "@" not in rest) and _SCHEME.fullmatch(scheme)
    return scheme if is_scheme else ""


def without_secrets(url: str) -> str:
    """The URL without user, password, options and fragment.

    User and password are everything before the last `@`, whatever characters they contain. If they can't be told from
    an option, or the rest is not a host, only the scheme is shown.
    """
    scheme = scheme_of(url)
    if not scheme:
        return "a URL that can't be taken apart"
    if _FILE.match(url):
        return url.partition("?")[0]
    if url.startswith(f"{scheme}://"):
        access, _, place = url.removeprefix(f"{scheme}://").rpartition("@")
        hosts, slash, path = re.split("[?#]", place, maxsplit=1)[0].partition("/")
        if _HOSTS.fullmatch(hosts) and not re.search("[?#]", access):
            return f"{scheme}://{hosts}{slash}{path}"
    return f"{scheme}:…"


def without_echo(text: str) -> str:
    """A server's error text, without the arguments of an unknown command, which may be a login."""
    return _ECHO.sub("", text)


def text_of(error: BaseException) -> str:
    """The class and the text of a driver's error, `without_echo`. A driver's `repr` may have neither."""
    return f"{type(error).__name__}: {without_echo(str(error))}"[:300]


def cause_of(error: BaseException) -> BaseException | None:
    """The error as the cause of another, whose traceback shows it; None if it repeats what may be a login."""
    seen: BaseException | None = error
    while seen is not None:
        if without_echo(str(seen)) != str(seen):
            return None
        seen = seen.__cause__ or seen.__context__
    return error
