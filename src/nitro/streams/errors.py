"""Why a stream can't be created, appended to, read or deleted."""

from __future__ import annotations

from nitro.errors import NitroError, PayloadTooLarge
from nitro.streams.offsets import Offset
from nitro.streams.state import StreamState

__all__ = [
    "ContentTypeMismatch",
    "InvalidOffset",
    "RecordTooLong",
    "SequenceGap",
    "SequenceRegression",
    "StaleEpoch",
    "StreamClosed",
    "StreamError",
    "StreamExists",
    "StreamGone",
    "StreamNotFound",
    "TooMany",
    "called",
]


def called(key: str) -> str:
    """How an error calls the stream of this key: without the prefix that says whose streams these are."""
    return repr(key.partition("/")[2] or key)


class StreamError(NitroError):
    """Base class of what streams refuse."""


class StreamNotFound(StreamError):
    """There is no such stream, or no longer."""


class StreamGone(StreamError):
    """The stream was deleted; its forks still read what they inherited."""


class StreamExists(StreamError):
    """There is a stream of that key already, made in another way."""


class StreamClosed(StreamError):
    """The stream is closed, and takes nothing more.

    Attributes:
        tail: where it ends.
        state: of it.
    """

    def __init__(self, text: str, tail: Offset, state: StreamState) -> None:
        super().__init__(text)
        self.tail = tail
        self.state = state


class ContentTypeMismatch(StreamError):
    """What is appended is of another type than the stream."""


class SequenceRegression(StreamError):
    """The `Stream-Seq` is not greater than the last one."""


class StaleEpoch(StreamError):
    """The producer was replaced by a newer one.

    Attributes:
        epoch: of the newer one.
    """

    def __init__(self, text: str, epoch: int) -> None:
        super().__init__(text)
        self.epoch = epoch


class SequenceGap(StreamError):
    """A batch of the producer's is missing before this one.

    Attributes:
        expected, received: numbers of batches.
    """

    def __init__(self, text: str, expected: int, received: int) -> None:
        super().__init__(text)
        self.expected = expected
        self.received = received


class InvalidOffset(StreamError, ValueError):
    """An offset, sub-offset or number of a batch that can't be."""


class TooMany(StreamError):
    """The stream has as many forks, items or bytes as it may have."""


class StreamFull(TooMany):
    """What is appended would make the stream longer than it may be.

    Attributes:
        fitting: how many of the items there is room for.
    """

    def __init__(self, text: str, fitting: int) -> None:
        super().__init__(text)
        self.fitting = fitting


class RecordTooLong(TooMany, PayloadTooLarge):
    """What is appended, and what the stream keeps beside its records, are longer than the store takes at once."""
