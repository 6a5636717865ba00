"""How nats-py connects: what a NATS URL says, and a client that cleans up, and insists on TLS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.js.api import StorageType

from nitro.brokers.url_options import check_files, options_of, parts_of
from nitro.errors import ConfigurationError

__all__ = ["CleanClient", "Place", "SecretClient", "access_of", "place_of"]

_CONNECT_SECONDS: Final = 4
_OPTIONS: Final = ("credentials", "replicas", "storage")


@dataclass(frozen=True, slots=True)
class Place:
    """What a NATS URL says.

    Attributes:
        servers: their URLs, without credentials.
        access: arguments of nats-py's `connect`.
        is_secret: whether nothing may be sent without TLS.
        storage, replicas: of streams that are created.
    """

    servers: list[str]
    access: dict[str, Any] = field(repr=False)
    is_secret: bool
    storage: StorageType
    replicas: int

    def client(self) -> Client:
        """A client for it, not connected. Not `nats.connect`, which leaves the socket open when it fails."""
        return SecretClient() if self.is_secret else CleanClient()

    async def connect(self, client: Client, on_error: Callable[[Exception], Awaitable[None]], **more: Any) -> None:
        """Connect the client once: it doesn't connect again by itself."""
        await client.connect(
            self.servers,
            name="nitro",
            allow_reconnect=False,
            pending_size=0,  # beyond it, who publishes would wait for a flush that never ends if the connection does
            connect_timeout=_CONNECT_SECONDS,
            error_cb=on_error,
            **self.access,
            **more,
        )


def place_of(url: str) -> Place:
    """What the URL says.

    Raises:
        ConfigurationError: it can't be used.
    """
    parts = parts_of(url)
    options = options_of(parts.query, _OPTIONS, "nats")
    check_files(options, ("credentials",))
    try:
        storage = StorageType(options.get("storage", "file"))
        replicas = int(options.get("replicas", "1"))
    except ValueError:
        raise ConfigurationError(
            "NITRO_BROKER_URL: storage is file or memory, and replicas is a number, as in ?storage=file&replicas=3"
        ) from None
    if parts.path not in ("", "/"):
        raise ConfigurationError("NITRO_BROKER_URL: a nats:// URL has no path; NITRO_NAMESPACE says whose log it is")
    user, _, hosts = parts.netloc.rpartition("@")
    servers = [f"{parts.scheme}://{host}" for host in hosts.split(",")]
    access = access_of(user, options.get("credentials", ""))
    return Place(servers, access, parts.scheme == "tls", storage, replicas)


def access_of(user: str, credentials: str) -> dict[str, Any]:
    """Arguments of nats-py's `connect`, from `user:password`, a token, or the path of a credentials file."""
    if credentials:
        return {"user_credentials": credentials}
    name, colon, password = user.partition(":")
    if colon:
        return {"user": unquote(name), "password": unquote(password)}
    return {"token": unquote(name)} if name else {}


class _Transport(TcpTransport):
    """Writes all in one piece.

    In Python 3.12 and 3.13, `writelines` on a connection that was lost may leave its file descriptor watched, and the
    next connection that gets the same one can't be opened (CPython issue 136234).
    """

    def __bool__(self) -> bool:
        return True  # else nats-py makes one of its own

    def writelines(self, payload: Iterable[bytes]) -> None:
        self.write(b"".join(payload))  # type: ignore[no-untyped-call]


class CleanClient(Client):
    """A client that ends all that it has begun when its connection is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._transport = _Transport()  # type: ignore[no-untyped-call]

    async def _process_op_err(self, e: Exception) -> None:
        # What is still to be sent can't be: nats-py would try, fail, and leave its tasks and its socket behind.
        self._pending, self._pending_data_size = [], 0
        await super()._process_op_err(e)


class SecretClient(CleanClient):
    """A client that sends nothing without TLS. nats-py uses TLS only if the server requires it, even for `tls://`."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if not info.get("tls_required"):
            raise ConfigurationError("its server has no TLS, and NITRO_BROKER_URL says tls://; enable it there")
        await super()._process_info(info, initial_connection)
