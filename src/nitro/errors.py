"""Every failure that a user of Nitro can meet, under one root.

Owns the error types; everything else imports them, they import nothing.
"""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "ArgumentTypeError",
    "BrokerRefused",
    "BrokerUnavailable",
    "ConfigurationError",
    "InvalidField",
    "InvalidPayload",
    "InvalidQuery",
    "InvalidTopic",
    "NitroError",
    "NitroWarning",
    "NotAuthenticated",
    "NotConnected",
    "NotLoaded",
    "Overloaded",
    "PayloadTooLarge",
    "TooManyClients",
    "TooManyTopics",
    "TopicTypeError",
]


class NitroError(Exception):
    """Root of all errors that Nitro raises on purpose."""


class NitroWarning(UserWarning):
    """What works, and can hardly have been meant so; the text says what would do what was meant."""


class ConfigurationError(NitroError, ValueError):
    """A setting can't be used; the text names the setting and what it may be."""


class InvalidTopic(NitroError, ValueError):
    """A topic or pattern that breaks the grammar; the text names the character and its place."""


class TopicTypeError(NitroError, TypeError):
    """Something that is no string stands where a topic should."""


class ArgumentTypeError(NitroError, TypeError):
    """An argument is of another kind than is wanted; the text shows it, and says what is wanted."""


class TooManyTopics(NitroError, ValueError):
    """A client asks for more subscriptions than the limit allows."""


class NotAuthenticated(NitroError):
    """Nobody knows who asks, or not any more: no user, a ticket that is none, a right that has expired."""


class AccessDenied(NitroError):
    """A client asks for what it may not hear, or a publisher for what it may not publish."""


class TooManyClients(NitroError, RuntimeError):
    """A client connects over a limit: of the process, its user, its address, or of connects a second.

    Attributes:
        retry_after_seconds: when it may try again.
    """

    def __init__(self, text: str, retry_after_seconds: int) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class InvalidPayload(NitroError, ValueError):
    """A result that can't be written as JSON."""


class PayloadTooLarge(InvalidPayload):
    """A result whose JSON is longer than the limit."""


class InvalidQuery(NitroError, ValueError):
    """A question that the database behind an entity can't be asked; the text names what was wrong."""


class NotLoaded(NitroError, RuntimeError):
    """A relationship of an entity that was not loaded with it; the text says how to ask for it."""


class InvalidField(NitroError, ValueError):
    """An SSE field (`id`, `event`, `retry`) with a value that the wire can't carry."""


class NotConnected(NitroError, RuntimeError):
    """A client is read that was never connected, or on another event loop than it was connected on."""


class Overloaded(NitroError, RuntimeError):
    """Events are emitted faster than the event loop can hand them on; nothing of this one was sent."""


class BrokerUnavailable(NitroError, RuntimeError):
    """The log of events can't be reached; the text says since when, and what became of the event."""


class BrokerRefused(BrokerUnavailable):
    """The log of events can't be used as it is configured, and waiting won't help; the text has the remedy."""
