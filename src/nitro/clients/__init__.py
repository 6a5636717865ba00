"""Clients: `Client`, its grant, rights and subscriptions, and `event_stream` from a request to a stream."""
