"""The file of a SQLite log: its path, from the URL, and why it can't be used."""

from __future__ import annotations

import os
import sqlite3
from typing import Final
from urllib.parse import unquote

from nitro.brokers.url_options import options_of
from nitro.errors import ConfigurationError

__all__ = ["identity_of", "is_same_file", "path_of", "why_refused"]

_DRIVERS: Final = {"sqlite", "sqlite+pysqlite", "sqlite+pysqlite_numeric", "sqlite+pysqlite_dollar", "sqlite+aiosqlite"}
_IGNORED: Final = frozenset(
    {"autocommit", "cache", "cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout"}
)
"""Options for an application's own connections."""
_REFUSED: Final = {
    "immutable": "a log is written to",
    "nolock": "several processes share a log",
    "psow": "a log has to survive a crash",
    "vfs": "the log's connections use the default",
}


def path_of(url: str) -> str:
    """The path in `sqlite:///relative/path`, `sqlite:////absolute/path`, or SQLAlchemy's other forms.

    Raises:
        ConfigurationError: it names no file that processes could share, or has an option that a log can't have.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _DRIVERS:
        raise ConfigurationError(f"NITRO_BROKER_URL: the log can't be in a file of {scheme}; write sqlite:///events.db")
    if rest and not rest.startswith(("/", "?")):
        raise ConfigurationError(
            f"NITRO_BROKER_URL has two slashes behind {scheme}:, and a path begins behind three: sqlite:///events.db, "
            "or four if it is absolute: sqlite:////var/lib/app/events.db"
        )
    path, _, query = rest.removeprefix("/").partition("?")
    path = unquote(path)
    options = options_of(query, {"uri", "mode", *_IGNORED, *_REFUSED}, "sqlite")
    for name in options:
        if name in _REFUSED:
            raise ConfigurationError(f"NITRO_BROKER_URL has the option {name!r}, and {_REFUSED[name]}; leave it out")
    mode = options.get("mode", "rwc")
    if mode == "ro":
        raise ConfigurationError("NITRO_BROKER_URL has mode=ro, and a log is written to; leave it out")
    if options.get("uri", "").lower() in ("true", "1", "yes", "on"):
        path = _without_file(path)
    if not path or ":memory:" in path or mode == "memory":
        raise ConfigurationError(
            "NITRO_BROKER_URL names no file that processes could share: write sqlite:///events.db, or "
            "sqlite:////var/lib/app/events.db for an absolute path; memory:// is the broker without a file"
        )
    return path


def identity_of(path: str) -> tuple[int, int] | None:
    """Device and inode of the file at the path; None if it was deleted."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def is_same_file(database: str | None, path: str) -> bool:
    """Whether a SQLAlchemy URL's database is the file at `path`."""
    if database is None:
        return False
    named = _without_file(database)
    return named == path or os.path.realpath(named) == os.path.realpath(path)


def why_refused(path: str, error: Exception) -> str | None:
    """What is wrong with the file, and the remedy, if the error is permanent."""
    if not isinstance(error, sqlite3.DatabaseError):
        return None
    directory = os.path.dirname(os.path.abspath(path))
    name = getattr(error, "sqlite_errorname", None) or ""
    if os.path.isdir(path):
        return "it is a directory; name a file in NITRO_BROKER_URL, which is made when there is none"
    if not os.path.isdir(directory):
        return (
            f"there is no directory {directory}; make it, or correct NITRO_BROKER_URL (sqlite:///path is relative to "
            f"the working directory, sqlite:////path is absolute)"
        )
    if name.startswith("SQLITE_NOTADB"):
        return "it is another kind of file, and no database; name another one in NITRO_BROKER_URL"
    if name.startswith("SQLITE_CORRUPT"):
        return "its file is damaged; stop all processes, and delete it with its -wal and -shm, or restore it"
    is_readonly = name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")) and "MOVED" not in name
    if is_readonly or (name.startswith("SQLITE_CANTOPEN") and not _may_write(path, directory)):
        return f"it can't be written; let this process's user write the file, and in its directory {directory}"
    return None


def _without_file(path: str) -> str:
    return path.removeprefix("file:").partition("?")[0] if path.startswith("file:") else path


def _may_write(path: str, directory: str) -> bool:
    is_there = os.path.exists(path)
    return os.access(directory, os.W_OK | os.X_OK) and (not is_there or os.access(path, os.R_OK | os.W_OK))
