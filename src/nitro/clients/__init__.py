"""Clients: who hears what. `Client`, grants and rights, and the way from a request to its stream."""
