"""`Client`, and who is connected, under the path that the specification gives them."""

from nitro.clients.client import Client, active_clients, client_event

__all__ = ["Client", "active_clients", "client_event"]
