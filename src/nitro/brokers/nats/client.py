"""How nats-py connects: the credentials in a NATS URL, and a client that insists on TLS."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from nats.aio.client import Client

from nitro.errors import ConfigurationError

__all__ = ["SecretClient", "access_of"]


def access_of(user: str, credentials: str) -> dict[str, Any]:
    """Arguments of nats-py's `connect`, from `user:password`, a token, or the path of a credentials file."""
    if credentials:
        return {"user_credentials": credentials}
    name, colon, password = user.partition(":")
    if colon:
        return {"user": unquote(name), "password": unquote(password)}
    return {"token": unquote(name)} if name else {}


class SecretClient(Client):
    """A client that sends nothing without TLS. nats-py uses TLS only if the server requires it, even for `tls://`."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if not info.get("tls_required"):
            raise ConfigurationError("its server has no TLS, and NITRO_BROKER_URL says tls://; enable it there")
        await super()._process_info(info, initial_connection)
