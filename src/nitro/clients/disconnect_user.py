"""disconnect_user: end a user's clients wherever they are. Fed by the application; goes through the log."""

from __future__ import annotations

from nitro.delivery.process import get_hub
from nitro.errors import ConfigurationError
from nitro.events.sender import user_key
from nitro.messages.identity import Identity
from nitro.messages.user_disconnect import UserDisconnect

__all__ = ["disconnect_user"]


def disconnect_user(user_id: Identity, *, stop: bool = False) -> None:
    """End all clients that were made with this `user_id`, in every process that shares the broker. From any thread.

    It stands in the log like an event: nothing that comes after it reaches them, nor what still waits for them. A
    browser comes back after its usual wait, and the application decides anew what it may hear, of what it missed, too;
    so withdraw the rights first, then call this. A request that read the rights just before, and is answered just
    after, is ended as well.

    Args:
        user_id: the id, or an object that has one.
        stop: tell the browsers not to come back.

    Raises:
        ConfigurationError: `user_id` is nobody's.
        BrokerUnavailable, Overloaded: as `emit`.
    """
    key = user_key(user_id)
    if key is None:
        raise ConfigurationError("user_id is None, which is nobody's")
    get_hub().disconnect_user(UserDisconnect(key, stop))
