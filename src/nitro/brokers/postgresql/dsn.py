"""Translates PostgreSQL URLs of SQLAlchemy, libpq, other drivers and hosting providers into arguments of asyncpg."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from nitro.brokers.url_options import check_files, check_options, parts_of
from nitro.errors import ConfigurationError
from nitro.redaction import without_secrets

__all__ = ["Target", "target_of"]

log: Final = logging.getLogger("nitro.brokers")

_DRIVERS: Final = ("asyncpg", "pg8000", "psycopg", "psycopg2", "psycopg2cffi", "psycopg_async")
"""Accepted after `postgresql+`, as in SQLAlchemy's URLs; asyncpg is used in any case."""
_LONGEST_CONNECT_SECONDS: Final = 4.0

_TAKEN: Final = frozenset(
    {"host", "port", "user", "password", "passfile", "service", "dbname", "database", "target_session_attrs"}
    | {"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"}
    | {"ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"}
)
"""Options that asyncpg reads from a URL."""
_SERVER: Final = frozenset(
    {"application_name", "options", "search_path", "statement_timeout", "lock_timeout", "role", "timezone", "jit"}
    | {"idle_in_transaction_session_timeout", "idle_session_timeout", "work_mem", "datestyle", "intervalstyle"}
    | {"tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "extra_float_digits"}
)
"""Session settings, sent when connecting; others go in `options=-c name=value`."""
_RENAMED: Final = {
    "unix_sock": "host",
    "hostaddr": "host",
    "currentSchema": "search_path",
    "schema": "search_path",
    "TimeZone": "timezone",
    "fallback_application_name": "application_name",
    "ssl": "sslmode",
}
"""Other drivers' names of options; the usual name takes precedence."""
_SSL_MODES: Final = {"true": "require", "1": "require", "on": "require", "no-verify": "require"} | {
    "false": "disable",
    "0": "disable",
    "off": "disable",
}
_ASYNCPG: Final[dict[str, tuple[str, Callable[[str], float]]]] = {
    "prepared_statement_cache_size": ("statement_cache_size", int),
    "statement_cache_size": ("statement_cache_size", int),
    "max_cached_statement_lifetime": ("max_cached_statement_lifetime", int),
    "max_cacheable_statement_size": ("max_cacheable_statement_size", int),
    "command_timeout": ("command_timeout", float),
    "connect_timeout": ("timeout", float),
    "timeout": ("timeout", float),
}
"""Arguments of `asyncpg.connect`."""
_NEEDLESS: Final = frozenset(
    {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "tcp_keepalive"}
    | {"connection_limit", "pool_timeout", "pool_size", "max_overflow", "pool_recycle", "pool_pre_ping"}
    | {
        "socket_timeout",
        "async_fallback",
        "client_encoding",
        "prepare_threshold",
        "sslcompression",
        "sslsni",
        "sslcertmode",
        "sslaccept",
    }
    | {"load_balance_hosts", "gssdelegation", "autocommit", "uselibpqcompat", "supa", "workaround"}
    | {"min_protocol_version", "max_protocol_version", "binary_parameters", "cached_statements"}
)
"""Options for other drivers' connections and pools; the log has its own two connections and timeouts."""
_DROPPED: Final = {
    "pgbouncer": "prepared statements are not kept; PgBouncer's session mode is best, since the log uses LISTEN",
    "channel_binding": "asyncpg has no channel binding; use sslmode=verify-full instead",
    "requirepeer": "asyncpg doesn't check the owner of the server's socket",
    "require_auth": "asyncpg uses the authentication method that the server asks for",
}
"""Ignored option → warning, logged unless its value is in `_MEANS_NOTHING`."""
_MEANS_NOTHING: Final = frozenset({"prefer", "disable", "false", "0", ""})
_REFUSED: Final = {
    "gssencmode": "asyncpg has no GSSAPI encryption; leave it out, and use sslmode=require",
    "replication": "the log needs an ordinary connection; leave it out",
    "sslcrldir": "asyncpg takes one file; write sslcrl=/path",
}

_TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_VALUES: Final = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "gsslib": ("gssapi", "sspi"),
}
"""Checked here, as asyncpg raises only when it connects, with the value in its text."""


class Target(NamedTuple):
    """Arguments of `asyncpg.connect`: a URL, and keyword arguments."""

    url: str
    arguments: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Target {without_secrets(self.url)}>"


def target_of(url: str) -> Target:
    """Translate `postgresql://user:password@host:5432/database?option=value` for asyncpg.

    Raises:
        ConfigurationError: an option is unknown, or not supported; the text has the remedy.
    """
    parts = parts_of(url)
    _, plus, driver = parts.scheme.partition("+")
    if plus and driver not in _DRIVERS:
        raise ConfigurationError(f"NITRO_BROKER_URL names the driver {driver!r:.40}; it may name {', '.join(_DRIVERS)}")
    options = _joined(parse_qsl(parts.query, keep_blank_values=True))
    known = {*_TAKEN, *_SERVER, *_RENAMED, *_ASYNCPG, *_NEEDLESS, *_DROPPED, *_REFUSED}
    asked = {name: value for name, value in options.items() if "." not in name or not value}
    check_options(asked, known, "postgresql")
    for name, why in _REFUSED.items():
        if options.pop(name, "disable").lower() not in _MEANS_NOTHING:
            raise ConfigurationError(f"NITRO_BROKER_URL: {name} is not supported: {why}")
    arguments: dict[str, Any] = {"timeout": _LONGEST_CONNECT_SECONDS}
    _drop(options, arguments)
    for name, (argument, read) in _ASYNCPG.items():
        if name in options:
            arguments[argument] = _number(name, options.pop(name), read)
    asked = arguments["timeout"]
    arguments["timeout"] = min(asked, _LONGEST_CONNECT_SECONDS) if asked > 0 else _LONGEST_CONNECT_SECONDS
    for name, usual in _RENAMED.items():
        value = options.pop(name, None)
        if value is not None:
            options.setdefault(usual, _schema(value) if name in ("schema", "currentSchema") else value)
    _secure(options, arguments)
    if not re.fullmatch(r"[0-9,]*", options.get("port", "")):
        raise ConfigurationError("NITRO_BROKER_URL: port is a number, as in ?port=5432, or one for each host")
    settings = {name: options.pop(name) for name in list(options) if name not in _TAKEN}
    arguments["server_settings"] = {"application_name": "nitro"} | settings
    where = f"{parts.netloc}{parts.path}?{urlencode(options, quote_via=quote)}"
    return Target(f"postgresql://{where}".rstrip("?"), arguments)


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Merge repeated options: the last one counts, but hosts are joined, as in SQLAlchemy."""
    options: dict[str, str] = {}
    for name, value in pairs:
        options[name] = f"{options[name]},{value}" if name == "host" and name in options else value
    return options


def _drop(options: dict[str, str], arguments: dict[str, Any]) -> None:
    """Remove options that asyncpg doesn't have; logs a warning where that makes a difference."""
    for name in _NEEDLESS & options.keys():
        log.info("NITRO_BROKER_URL: %s is ignored; it makes no difference here", name)
        del options[name]
    for name, why in _DROPPED.items():
        if options.get(name, "").lower() not in _MEANS_NOTHING:
            log.warning("NITRO_BROKER_URL: %s is ignored: %s", name, why)
            if name == "pgbouncer":
                arguments["statement_cache_size"] = 0
        options.pop(name, None)


def _secure(options: dict[str, str], arguments: dict[str, Any]) -> None:
    """Translate and check the options for TLS."""
    if "sslmode" in options:
        options["sslmode"] = _SSL_MODES.get(options["sslmode"].lower(), options["sslmode"])
    for name, values in _VALUES.items():
        if options.get(name, values[0]) not in values:
            raise ConfigurationError(f"NITRO_BROKER_URL: {name} is one of {', '.join(values)}")
    if options.get("sslrootcert") == "system":  # libpq's name for the system's CA certificates
        arguments["ssl"] = ssl.create_default_context()
        del options["sslrootcert"]
        options.pop("sslmode", None)
    check_files(options, ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"))


def _number(name: str, value: str, read: Callable[[str], float]) -> float:
    try:
        return read(value)
    except ValueError:
        raise ConfigurationError(f"NITRO_BROKER_URL: {name} is a number, as in ?{name}=4") from None


def _schema(name: str) -> str:
    """A value of `search_path`: quoted, unless it is a plain name or a list of them."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_, ]*", name) else '"' + name.replace('"', '""') + '"'
