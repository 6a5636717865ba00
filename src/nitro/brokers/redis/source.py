"""Makes redis-py clients from a URL: for one server, through Sentinel, or for a cluster; and explains their errors."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlencode

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, MovedError, NoPermissionError, RedisError

from nitro.brokers.url_options import check_files, options_of, parts_of
from nitro.errors import ConfigurationError
from nitro.redaction import without_echo

__all__ = ["RedisSource", "why_refused"]

log: Final = logging.getLogger("nitro.brokers")

_CONNECT_SECONDS: Final = 4.0
_SOCKET_SECONDS: Final = 6.0
"""Longer than any read waits. The log broker times out earlier, but redis-py may lose a cancellation as it connects."""
_SENTINEL_SECONDS: Final = 0.2
"""How long a Sentinel is waited for where one can do without its answer."""
_TAKEN: Final = frozenset(
    {"db", "username", "password", "client_name", "protocol", "lib_name", "lib_version", "socket_read_size"}
)
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS: Final = frozenset(
    {*_FILES, "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers", "ssl_min_version"}
    | {"ssl_password", "ssl_include_verify_flags", "ssl_exclude_verify_flags"}
)
_NEEDLESS: Final = frozenset(
    {"decode_responses", "encoding", "encoding_errors", "legacy_responses", "max_connections", "timeout"}
    | {"socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval", "retry_on_timeout"}
    | {"retry_on_error", "single_connection_client", "skip_full_coverage_check", "require_full_coverage"}
    | {"read_from_replicas", "dynamic_startup_nodes"}
)
"""Options for an application's own client; the log broker has its own timeouts and retries."""
_MORE_RIGHTS: Final = "let its user have EVAL, INFO, HMGET, XREAD, XRANGE, what the scripts use, and the keys"
_REMEDIES: Final = (
    ("can't run this command", _MORE_RIGHTS),
    ("no permissions", _MORE_RIGHTS),  # in scripts, Redis 8 says so without the code NOPERM
    ("db index", "correct the number of the database in NITRO_BROKER_URL"),
    ("invalid database", "correct the number of the database in NITRO_BROKER_URL"),
    ("select is not allowed", "leave the number of the database out of NITRO_BROKER_URL"),
    ("unknown command", "take Redis 6.2 or newer, or Valkey, with its commands under their own names"),
    ("unknown redis command", "take Redis 6.2 or newer, or Valkey, with its commands under their own names"),
    ("wrongtype", "another program uses that key: choose another NITRO_NAMESPACE"),
    ("protected mode", "give the server a password, or let it listen where only its clients are"),
    ("cluster support disabled", "write redis:// in NITRO_BROKER_URL, not redis+cluster://"),
    ("'auth' command", "leave the user out of NITRO_BROKER_URL, or take Redis 6.2 or newer"),
)
"""Part of a permanent error's text → remedy."""


class RedisSource:
    """Makes clients for `url`.

    Attributes:
        has_replicas: a replica may take over, and may lack entries.
        sentinels: clients of the Sentinels, which have to be closed, too.

    Raises:
        ConfigurationError: the URL can't be used; the text has the remedy.
    """

    def __init__(self, url: str) -> None:
        self._parts = parts = parts_of(url)
        self.has_replicas: bool = parts.scheme in ("redis+sentinel", "redis+cluster")
        self.sentinels: list[Any] = []
        self._service = ""
        options = options_of(parts.query, _TAKEN | _TLS | _NEEDLESS | {"ssl", "tls"}, "redis")
        if "ssl" in options or "tls" in options:
            raise ConfigurationError("NITRO_BROKER_URL: for TLS write rediss://, and leave the option out")
        if options.get("protocol", "3") not in ("2", "3"):  # redis-py below 6 takes anything
            raise ConfigurationError("NITRO_BROKER_URL: protocol is 2 or 3")
        for name in _NEEDLESS & options.keys():
            log.info("NITRO_BROKER_URL: %s is ignored; it makes no difference here", name)
            del options[name]
        if parts.scheme != "rediss" and _TLS & options.keys():
            raise ConfigurationError("NITRO_BROKER_URL has options for TLS, which need rediss://")
        if "ssl_cert_reqs" in options:  # Celery's and Heroku's name for it
            options["ssl_cert_reqs"] = options["ssl_cert_reqs"].lower().removeprefix("cert_")
        if "," in parts.netloc and parts.scheme != "redis+sentinel":
            raise ConfigurationError(
                f"NITRO_BROKER_URL has several hosts, and {parts.scheme}:// takes one; in a cluster each knows all"
            )
        check_files(options, _FILES)
        _check_path(parts)
        self._query = urlencode(options, quote_via=quote)
        try:
            self.client()
        except ValueError as error:  # whose text may contain parts of the URL
            named = [name for name in options if f"'{name}'" in str(error)] or sorted(options)
            raise ConfigurationError(
                f"NITRO_BROKER_URL can't be used: redis-py can't read the value of {' or '.join(named)}; correct it"
            ) from None

    def client(self) -> Any:
        """A client that is not connected yet."""
        options: dict[str, Any] = {
            "socket_connect_timeout": _CONNECT_SECONDS,
            "socket_timeout": _SOCKET_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        parts = self._parts
        if parts.scheme == "redis+sentinel":
            return self._behind_sentinel(options)
        scheme = {"redis+unix": "unix", "redis+cluster": "redis"}.get(parts.scheme, parts.scheme)
        url = f"{scheme}://{parts.netloc}{parts.path}?{self._query}"
        if parts.scheme == "redis+cluster":
            return RedisCluster.from_url(url, **options)
        return Redis.from_url(url, **options)

    async def close(self, client: Any) -> None:
        """Close a client that it made, and what was made for it."""
        await client.aclose()
        if isinstance(client, RedisCluster):  # its `aclose` does nothing while it rediscovers nodes
            for nodes in ("nodes_cache", "startup_nodes"):
                await client.nodes_manager.aclose(nodes)
        for sentinel in self.sentinels:
            await sentinel.aclose()

    async def is_master(self, address: tuple[str, int]) -> bool:
        """Whether Sentinel still names the server at this host and port the master, or can't tell.

        One that does so is enough. If one names another, the one with the newest configuration is believed.
        """
        said: list[tuple[int, bool]] = []
        for sentinel in tuple(self.sentinels):
            try:
                async with asyncio.timeout(_SENTINEL_SECONDS):
                    state = await sentinel.execute_command("SENTINEL MASTER", self._service)
            except (RedisError, OSError):  # which a timeout is
                self.sentinels.remove(sentinel)
                self.sentinels.append(sentinel)  # the next question doesn't wait for it
                continue
            is_it = (state["ip"], state["port"]) == address
            if is_it and not said:
                return True
            if not state["is_sdown"]:
                said.append((state["config-epoch"], is_it))
        return max(said, default=(0, True))[1]

    def _behind_sentinel(self, options: dict[str, Any]) -> Any:
        parts = self._parts
        access, _, hosts = parts.netloc.rpartition("@")
        self._service, _, db = parts.path.strip("/").partition("/")
        user, _, password = access.partition(":")
        addresses = [host.rpartition(":") for host in hosts.split(",")]
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            [(host or port, int(port) if host else 26379) for host, _, port in addresses], **options
        )
        self.sentinels = sentinel.sentinels
        said: dict[str, Any] = {
            "db": int(db or 0),
            "username": unquote(user) or None,
            "password": unquote(password) or None,
        }
        said.update(parse_url(f"redis://?{self._query}"))
        return sentinel.master_for(self._service, **said, **options)


def why_refused(error: BaseException | None, *, is_plain: bool) -> str | None:
    """What is wrong and the remedy, if the error is permanent.

    Args:
        is_plain: the client is not a cluster's.
    """
    while error is not None:
        text = f"the server says: {without_echo(str(error))}. So "
        if isinstance(error, AuthenticationError | AuthorizationError):
            return text + "correct user and password in NITRO_BROKER_URL"
        if isinstance(error, NoPermissionError):
            return text + _MORE_RIGHTS
        if isinstance(error, MovedError) and is_plain:
            return text + "write redis+cluster:// in NITRO_BROKER_URL, since it is one"
        if isinstance(error, RedisError):
            said = str(error).lower()
            for part, remedy in _REMEDIES:
                if part in said:
                    return text + remedy
        error = error.__cause__ or error.__context__
    return None


def _check_path(parts: SplitResult) -> None:
    path = parts.path.strip("/")
    if parts.scheme == "redis+sentinel" and not re.fullmatch(r"[^/]+(/[0-9]+)?", path):
        raise ConfigurationError(
            "NITRO_BROKER_URL: a Sentinel URL names its master: redis+sentinel://host:26379/master-name, or …/name/0"
        )
    if parts.scheme in ("redis", "rediss", "redis+cluster") and not re.fullmatch(r"[0-9]*", path):
        raise ConfigurationError("NITRO_BROKER_URL: the path must be the number of a database, as in redis://host/0")
