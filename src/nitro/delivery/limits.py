"""Limits: how much may be queued for one client, how long a write may block, and what happens to more.

Used by the lane once a client exceeds them; works on frames, and changes no client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, get_args

from nitro.delivery.frame import Frame
from nitro.errors import ConfigurationError
from nitro.messages.message import Gap, Message
from nitro.settings import Overflow, Settings

__all__ = ["Limits"]


class Limits(NamedTuple):
    """What one client may cost.

    Attributes:
        max_messages, max_bytes: how much may be queued for it; bytes are of JSON.
        overflow: what happens when more is queued. `"disconnect"`: it is ended; a browser reconnects and resumes.
            `"drop_oldest"`: the newest half of the limit is kept. `"latest"`: of each topic, or of each value of the
            event's `latest_by`, the newest message is kept; if those are still too many, it is ended.
        send_timeout_seconds: how long one write to it may block.
    """

    max_messages: int
    max_bytes: int
    overflow: Overflow
    send_timeout_seconds: float

    @classmethod
    def checked(cls, max_messages: int, max_bytes: int, overflow: str, send_timeout_seconds: float) -> Limits:
        """Limits with these values.

        Raises:
            ConfigurationError: a value is invalid.
        """
        for name, value in (("max_messages", max_messages), ("max_bytes", max_bytes)):
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name} is a whole number from 1 on, not {value!r}")
        if overflow not in _OVERFLOWS:
            raise ConfigurationError(f"overflow is one of {', '.join(_OVERFLOWS)}, not {overflow!r}")
        if not isinstance(send_timeout_seconds, int | float) or not send_timeout_seconds > 0:
            raise ConfigurationError(
                f"send_timeout_seconds is a number of seconds above 0, not {send_timeout_seconds!r}"
            )
        return cls(max_messages, max_bytes, overflow, float(send_timeout_seconds))  # type: ignore[arg-type]

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The default limits of clients.

        Raises:
            ConfigurationError: a setting is invalid.
        """
        return cls.checked(
            settings.client_max_messages,
            settings.client_max_bytes,
            settings.client_overflow,
            settings.send_timeout_seconds,
        )

    def override(
        self,
        max_messages: int | None,
        max_bytes: int | None,
        overflow: Overflow | None,
        send_timeout_seconds: float | None,
    ) -> Limits:
        """These limits, with the values that are not None replaced.

        Raises:
            ConfigurationError: a value is invalid.
        """
        if max_messages is None and max_bytes is None and overflow is None and send_timeout_seconds is None:
            return self
        return Limits.checked(
            self.max_messages if max_messages is None else max_messages,
            self.max_bytes if max_bytes is None else max_bytes,
            self.overflow if overflow is None else overflow,
            self.send_timeout_seconds if send_timeout_seconds is None else send_timeout_seconds,
        )

    def allows(self, messages: int, size: int) -> bool:
        """Whether so much may be queued."""
        return messages <= self.max_messages and size <= self.max_bytes

    def shorten(self, frames: Sequence[Frame]) -> list[Frame] | None:
        """Which of all queued frames, oldest first, are kept; None if the client is to be ended."""
        if self.overflow == "drop_oldest":
            return self._newest(frames)
        if self.overflow == "latest":
            kept = _latest(frames)
            return kept if self.allows(len(kept), sum([frame.size for frame in kept])) else None
        return None

    def _newest(self, frames: Sequence[Frame]) -> list[Frame]:
        size = 0
        kept: list[Frame] = []
        for frame in reversed(frames):
            if not isinstance(frame.message, Message):
                continue
            size += frame.size
            if kept and not self.allows(2 * (len(kept) + 1), 2 * size):
                break
            kept.append(frame)
        kept.reverse()
        return kept


_OVERFLOWS: Final = get_args(Overflow)


def _latest(frames: Sequence[Frame]) -> list[Frame]:
    """The newest frame of each key, in order; messages that were sent to the client alone are kept."""
    kept: dict[object, Frame] = {}
    for frame in frames:
        message = frame.message
        if message is None or isinstance(message, Gap):
            continue
        key: object = (message.topic, message.key) if message.position is not None else frame
        kept.pop(key, None)
        kept[key] = frame
    return list(kept.values())
