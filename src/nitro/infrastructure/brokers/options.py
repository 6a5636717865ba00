"""The options of a broker's URL, `?name=value&…`: known, or refused with the nearest that is."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from nitro.errors import ConfigurationError

__all__ = ["check_files", "check_options", "options_of", "parts_of", "without_secrets"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}", re.ASCII)


def parts_of(url: str) -> SplitResult:
    """A URL of a server, in its parts.

    Raises:
        ConfigurationError: a password with a character that ends it, so that its host would be looked for elsewhere; a
            port that is none. The text shows nothing of the URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError("NITRO_BROKER_URL is no URL; percent-encode what is special in its password") from None
    if parts.fragment or (parts.netloc and "@" not in parts.netloc and "@" in parts.path):
        raise ConfigurationError(
            "NITRO_BROKER_URL has a '#' or a '/' before its host; in user and password write %23 and %2F for them"
        )
    for host in parts.netloc.rpartition("@")[2].split(","):
        _, colon, port = host.rpartition(":")
        if colon and "]" not in port and port and not (port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigurationError("NITRO_BROKER_URL has a port that is none; write host:port, with 1 to 65535")
    return parts


def options_of(query: str, known: Collection[str], scheme: str) -> dict[str, str]:
    """The options, each once: the last one counts.

    Raises:
        ConfigurationError: one is unknown.
    """
    options = dict(parse_qsl(query, keep_blank_values=True))
    check_options(options, known, scheme)
    return options


def check_options(names: Collection[str], known: Collection[str], scheme: str) -> None:
    """Refuse what is unknown.

    Raises:
        ConfigurationError: it names the option, if it can be one, and the nearest known.
    """
    for name in names:
        if name in known:
            continue
        if not _NAME.fullmatch(name):  # then it may be part of a password
            raise ConfigurationError(
                "NITRO_BROKER_URL has a '?' with something behind it that is no option; in a password write %3F"
            )
        near = get_close_matches(name.lower(), known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it may have {', '.join(sorted(known))}"
        raise ConfigurationError(f"NITRO_BROKER_URL has the option {name!r}, which no {scheme}:// URL has{hint}")


def check_files(options: Mapping[str, str], names: Collection[str]) -> None:
    """Refuse a file that this process can't read.

    Raises:
        ConfigurationError: it names option and file.
    """
    for name in names:
        path = options.get(name)
        if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise ConfigurationError(f"NITRO_BROKER_URL: {name} is no file that this process can read: {path!a:.200}")


def without_secrets(url: str) -> str:
    """A URL that can be shown: without user, password and parameters."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
