"""The Durable Streams Protocol 1.0 as an ASGI application: streams that anyone reads and writes over plain HTTP.

`app.mount("/streams", DurableStreams(authorize=authorize))`.
"""

from nitro.durable_streams.app import DurableStreams
from nitro.durable_streams.authorization import Action

__all__ = ["Action", "DurableStreams"]
