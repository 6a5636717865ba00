"""What may be shown of a URL, and of what others say: everything but secrets.

Fed by settings, brokers and the repository; all that people are told about a URL comes through here.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import SecretStr

__all__ = ["ENCODE", "SecretUrl", "scheme_of", "without_echo", "without_secrets"]

ENCODE: Final = (
    "in user and password write %2F for /, %3F for ?, %23 for #, %40 for @, %5B for [ and %25 for %, as "
    "urllib.parse.quote(password, safe='') does"
)
"""The remedy for a URL that can't be taken apart."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,39}", re.ASCII)
_HOST: Final = r"(?:\[[^\[\]\s]*\]|[^\[\]:,\s]*)(?::[0-9]*)?"
_HOSTS: Final = re.compile(rf"{_HOST}(?:,{_HOST})*", re.ASCII)
_FILE: Final = re.compile(r"(?:sqlite(?:\+\w+)?|redis\+unix):///", re.ASCII)
"""What begins so has no server, and no user unless behind a colon; its path may have an `@`."""
_ECHO: Final = re.compile(r",? *with args beginning with.*", re.DOTALL | re.IGNORECASE)
"""How a Redis repeats what it was sent and doesn't understand, which may be a login."""


class SecretUrl(SecretStr):
    """A URL that shows itself `without_secrets`; `get_secret_value()` is all of it."""

    def _display(self) -> str:
        return without_secrets(self.get_secret_value())


def scheme_of(url: str) -> str:
    """What stands before the first colon, if that can be a scheme, and no user or password; else nothing."""
    scheme, colon, rest = url.partition(":")
    is_scheme = colon and (rest.startswith("//") or "@" not in rest) and _SCHEME.fullmatch(scheme)
    return scheme if is_scheme else ""


def without_secrets(url: str) -> str:
    """A URL that can be shown: without user, password, options and fragment.

    Its user and password are what stands before the last `@`, whatever characters are in them. Where that can't be told
    from an option, or what is left is no host, its scheme alone is shown.
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
    """What a server says, without what it repeats of a command, and so of a login, that it doesn't understand."""
    return _ECHO.sub("", text)
