"""All exceptions that Nitro raises, with a common base class. Imports nothing of Nitro."""

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
    "StreamRefused",
    "TooManyClients",
    "TooManyTopics",
    "TopicTypeError",
]


class NitroError(Exception):
    """Base class of all errors that Nitro raises."""


class NitroWarning(UserWarning):
    """Code that works but is probably a mistake; the text says what to write instead."""


class ConfigurationError(NitroError, ValueError):
    """A setting or argument has an invalid value; the text names it and the valid values."""


class InvalidTopic(NitroError, ValueError):
    """A topic or pattern breaks the grammar; the text names the character and its place."""


class TopicTypeError(NitroError, TypeError):
    """A topic or pattern is not a string, or a sender not an id."""


class ArgumentTypeError(NitroError, TypeError):
    """An argument has the wrong type; the text shows it, and says what is expected."""


class TooManyTopics(NitroError, ValueError):
    """A client asks for more subscriptions than the limit allows."""


class NotAuthenticated(NitroError):
    """The request is not authenticated: it has no user, an invalid ticket, or rights that have expired."""


class AccessDenied(NitroError):
    """A client may not hear what it asks for, or a publisher may not publish it."""


class TooManyClients(NitroError, RuntimeError):
    """A client was rejected by a limit: per process, user or address, or of connects per second.

    Attributes:
        retry_after_seconds: how long to wait before the next try, with jitter.
    """

    def __init__(self, text: str, retry_after_seconds: int) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class InvalidPayload(NitroError, ValueError):
    """A result can't be serialised to JSON."""


class PayloadTooLarge(InvalidPayload):
    """The JSON of a result is longer than the limit."""


class InvalidQuery(NitroError, ValueError):
    """The arguments of an entity's query are invalid; the text names the mistake."""


class NotLoaded(NitroError, RuntimeError):
    """A relationship of an entity was not loaded with it; the text says how to query it."""


class InvalidField(NitroError, ValueError):
    """A field of a server-sent event (`id`, `event`, `retry`) or a header has a value that can't be encoded."""


class NotConnected(NitroError, RuntimeError):
    """A client is read that was never connected, or in another event loop than the one it was connected in."""


class Overloaded(NitroError, RuntimeError):
    """Events are emitted faster than the event loop can deliver them; this one was not published."""


class BrokerUnavailable(NitroError, RuntimeError):
    """The broker's log is unreachable; the text says since when, and whether the event is still queued."""


class BrokerRefused(BrokerUnavailable):
    """The broker's log can't be used as configured, and retrying won't help; the text has the remedy."""


class StreamRefused(NitroError):
    """A server won't stream to this listener, or no longer, and asking again won't help.

    Attributes:
        status: the HTTP status of the answer; 204 also for a stream that the server stopped, 200 for an answer that is
            no stream of Nitro's, and 419 if the stream is for another user than before.
        reason: the detail of the server's problem, or what the status means.
        retry_after_seconds: what the server's `Retry-After` asks for; 0 if nothing.
    """

    def __init__(self, status: int, reason: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
