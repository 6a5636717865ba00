"""The last bytes of a stream: what the browser is told when this process ends it.

Fed by the outbox, which knows whether the stream ends for good; written by what streams it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, TypeAlias

from nitro.chance import CHANCE
from nitro.delivery.frame import LONGEST_RETRY, WireFormat, encode_retry
from nitro.delivery.outbox import Outbox
from nitro.sse.wire_formats import envelope, stream_event

__all__ = ["LAST_WRITE_SECONDS", "STAY_AWAY", "LastBytes", "last_bytes_of"]

LAST_WRITE_SECONDS: Final = 1.0
"""How long a slow client may delay the end of its stream."""
STAY_AWAY: Final = "stop"
"""The last event id of a browser that must not reconnect. It is not a position, so it is in no log."""

LastBytes: TypeAlias = Callable[[Outbox], bytes]
"""The last bytes of the stream of an outbox."""


@lru_cache(maxsize=64)
def last_bytes_of(wire_format: WireFormat, retry_milliseconds: int) -> LastBytes:
    """The last bytes in a wire format; shared by all streams with this `retry:`."""
    return partial(_last_bytes, wire_format, retry_milliseconds)


def _last_bytes(wire_format: WireFormat, retry_milliseconds: int, outbox: Outbox) -> bytes:
    if outbox.ends_for_good:
        last = b"id: %b\n\n" % STAY_AWAY.encode()
        return stream_event(stop=True) + last if wire_format is envelope else last
    # Jitter of one to two times the wait, so that streams that end together don't reconnect together.
    retry = min(round(retry_milliseconds * CHANCE.uniform(1, 2)), LONGEST_RETRY)
    return encode_retry(retry) + stream_event(retry=retry) if wire_format is envelope else encode_retry(retry)
