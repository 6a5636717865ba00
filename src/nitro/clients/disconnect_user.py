"""disconnect_user: disconnects a user's clients in all processes, by a message in the log."""

from __future__ import annotations

from nitro.delivery.process import get_hub
from nitro.errors import ConfigurationError
from nitro.events.sender import user_key
from nitro.messages.identity import Identity
from nitro.messages.user_disconnect import UserDisconnect

__all__ = ["disconnect_user"]


def disconnect_user(user_id: Identity, *, stop: bool = False) -> None:
    """Disconnect all clients made with this `user_id`, in every process that shares the broker. Thread-safe.

    The order is a message in the log: the clients get no message after it, and none that is still queued for them. A
    browser reconnects after its usual delay, and the application decides again what it may hear, including what it
    missed; so withdraw the rights before you call this. Also ends the streams of requests whose rights were read just
    before the call.

    Args:
        user_id: the id, or an object that has one.
        stop: tell the browsers not to reconnect.

    Raises:
        ConfigurationError: `user_id` is None or not an id.
        BrokerUnavailable, Overloaded: as `emit`.
    """
    key = user_key(user_id)
    if key is None:
        raise ConfigurationError("user_id is None, which is no user")
    get_hub().disconnect_user(UserDisconnect(key, stop))
