"""The parts and options of a broker's URL, `?name=value&…`. Unknown options raise, with the nearest known one."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from nitro.errors import ConfigurationError
from nitro.redaction import ENCODE

__all__ = ["check_files", "check_options", "options_of", "parts_of"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}", re.ASCII)
_PARTS: Final = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
"""Authority, path, query and fragment."""


def parts_of(url: str) -> SplitResult:
    """Split the URL of a server; user and password are percent-encoded, as drivers expect.

    Raises:
        ConfigurationError: a character in the password makes the host ambiguous, or the host or port is invalid. The
            text shows nothing of the URL.
    """
    scheme, _, rest = re.sub(r"[\t\r\n]", "", url).partition("://")
    authority, path, query, fragment = _PARTS.fullmatch(rest).groups("")  # type: ignore[union-attr]
    access, at, hosts = authority.rpartition("@")
    behind = f"{path}?{query}" if authority else path if scheme != "redis+unix" else ""
    if fragment or "@" in behind or re.search("@[^@]*,", access):
        raise ConfigurationError(
            f"NITRO_BROKER_URL has a '#', or a '/', a '?' or a list of hosts before its last '@', so its host can't be "
            f"told: {ENCODE}; an '@' behind the host is %40, too; several hosts have one user, user:password@host,host"
        )
    try:
        url.encode()
        urlsplit(f"//{hosts}")
    except ValueError:
        raise ConfigurationError(f"NITRO_BROKER_URL has an invalid host: {ENCODE}") from None
    for host in hosts.split(","):
        name, colon, port = host.rpartition(":")
        if ":" in name and "]" not in host:
            raise ConfigurationError(
                f"NITRO_BROKER_URL has two colons in a host; write host:port, an IPv6 address as [::1]:port; {ENCODE}"
            )
        if colon and "]" not in port and port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigurationError("NITRO_BROKER_URL has an invalid port; write host:port, with 1 to 65535")
    access = ":".join(quote(unquote(part), safe="") for part in access.split(":", 1))
    return SplitResult(scheme, f"{access}{at}{hosts}", path, query, "")


def options_of(query: str, known: Collection[str], scheme: str) -> dict[str, str]:
    """Parse the options; the last of each name counts.

    Raises:
        ConfigurationError: one is unknown.
    """
    options = dict(parse_qsl(query, keep_blank_values=True))
    check_options(options, known, scheme)
    return options


def check_options(options: Mapping[str, object], known: Collection[str], scheme: str) -> None:
    """Check that all options are known.

    Raises:
        ConfigurationError: one is unknown; the text names it, unless it may be part of a password, and the nearest one.
    """
    may_be_password = any(not _NAME.fullmatch(name) or "@" in str(value) for name, value in options.items())
    for name in options:
        if name in known:
            continue
        if may_be_password:
            raise ConfigurationError(
                "NITRO_BROKER_URL has a '?' that is not followed by an option; in a password write %3F"
            )
        near = get_close_matches(name.lower(), known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it may have {', '.join(sorted(known))}"
        if any("pass" in each.lower() for each in options):  # an & may have ended it
            raise ConfigurationError(
                f"NITRO_BROKER_URL has an option that no {scheme}:// URL has (in a password & is written %26){hint}"
            )
        raise ConfigurationError(f"NITRO_BROKER_URL has the option {name!r}, which no {scheme}:// URL has{hint}")


def check_files(options: Mapping[str, str], names: Collection[str]) -> None:
    """Check that this process can read the files that options name.

    Raises:
        ConfigurationError: it can't. The text names only the option, as its value may be a secret in place of a path.
    """
    for name in names:
        path = options.get(name)
        if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise ConfigurationError(f"NITRO_BROKER_URL: {name} must be the path of a file that this process can read")
