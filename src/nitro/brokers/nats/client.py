"""From a NATS URL to how nats-py connects: who we are, and whether all is secret."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from nats.aio.client import Client

from nitro.errors import ConfigurationError

__all__ = ["SecretClient", "access_of"]


def access_of(user: str, credentials: str) -> dict[str, Any]:
    """What nats-py wants to know of who we are: `user:password`, a token, or a file of credentials."""
    if credentials:
        return {"user_credentials": credentials}
    name, colon, password = user.partition(":")
    if colon:
        return {"user": unquote(name), "password": unquote(password)}
    return {"token": unquote(name)} if name else {}


class SecretClient(Client):
    """One that says nothing in clear. nats-py by itself has TLS only where the server asks for it, `tls://` or not."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if not info.get("tls_required"):
            raise ConfigurationError("its server has no TLS, and NITRO_BROKER_URL says tls://; turn it on there")
        await super()._process_info(info, initial_connection)
