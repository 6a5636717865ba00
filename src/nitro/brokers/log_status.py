"""Log status: since when a broker's log is unavailable and why, whether retrying helps, and the errors and log texts.

The log broker reports failures and successes; emitters and `nitro.statistics()` read it, from any thread.
"""

from __future__ import annotations

import logging
import ssl
import time
from concurrent.futures import Future
from typing import Final

from nitro.brokers.base import DiagnosingLog, Log, Verb
from nitro.errors import BrokerRefused, ConfigurationError
from nitro.redaction import text_of

__all__ = ["LogStatus"]

log: Final = logging.getLogger("nitro.brokers")

_LOGGED_EVERY_SECONDS: Final = 30.0
_PROGRAM_ERRORS: Final = (
    *(TypeError, ValueError, LookupError, AttributeError, NameError),
    *(ArithmeticError, AssertionError, NotImplementedError, ImportError),
)
"""Errors that mean a mistake in a program, and so recur. A driver may also raise one when its connection breaks, so it
counts only when the same verb fails like that twice in a row."""
_TRANSIENT_TLS: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""Interrupted handshakes, which may succeed when retried."""


class LogStatus:
    """Whether `remote` is available.

    A transient failure is over when the log can be opened again. A permanent one is over when the verb that failed has
    succeeded, and one of `append` likewise: a log that can be read but not written opens without an error each time.

    Attributes:
        why_gone: the error of the last failure.
        why_refused: why retrying won't help, with the remedy; empty if it may.
        refusal: fails with `BrokerRefused` when retrying won't help.
    """

    def __init__(self, remote: Log) -> None:
        self._remote = remote
        self.why_gone: str = "it was not reached yet"
        self.why_refused: str = ""
        self.refusal: Future[None] = _future()
        self._gone_since: float | None = time.monotonic()
        self._recovers_with: Verb = "open"
        self._suspect_verb: Verb | None = None
        self._logged_at = float("-inf")
        self._logged = ""

    @property
    def gone_seconds(self) -> float:
        """For how long it has been unavailable; 0 while it works."""
        since = self._gone_since
        return 0.0 if since is None else time.monotonic() - since

    def works(self, verb: Verb) -> bool:
        """`verb` succeeded. Returns whether that ends a failure."""
        if self._gone_since is None or verb != self._recovers_with:
            return False
        if self._logged_at > self._gone_since:
            log.warning("%s is there again, after %.1f s", self._remote.name, self.gone_seconds)
        self._gone_since, self._suspect_verb, self._logged, self._recovers_with = None, None, "", "open"
        self._clear_refusal()
        return True

    def failed(self, verb: Verb, error: Exception) -> None:
        """`verb` failed with `error`. After `append`, something waits that is appended as soon as that can be."""
        self.why_gone = text_of(error)
        self._gone_since = self._gone_since or time.monotonic()
        why = self._why_refused(verb, error)
        if why or self._suspect_verb or verb == "append":
            self._recovers_with = verb
        elif self._recovers_with != "append":
            self._recovers_with = "open"
        if why:
            self._refuse(why, error if self._suspect_verb else None)
            return
        self._clear_refusal()
        now = time.monotonic()
        if now - self._logged_at > _LOGGED_EVERY_SECONDS or self._logged_at < self._gone_since:
            self._logged_at = now
            log.warning("%s can't be used: %s. Nitro retries, and queues events", self._remote.name, self.why_gone)

    def _why_refused(self, verb: Verb, error: Exception) -> str | None:
        suspect_verb, self._suspect_verb = self._suspect_verb, None
        why = self._remote.why_refused(error) if isinstance(self._remote, DiagnosingLog) else None
        if why is None and isinstance(error, ConfigurationError):
            why = str(error)
        if why is not None:
            return why
        tls = _tls_error(error)
        if tls is None and (isinstance(error, OSError) or not isinstance(error, _PROGRAM_ERRORS)):
            return None
        self._suspect_verb = verb
        if suspect_verb != verb:
            return None
        if tls is not None:
            return f"its TLS handshake fails ({tls}). Set the CA certificate, and use TLS only if the server does"
        return f"a bug in Nitro or its driver, {type(error).__name__}: {error}. Please report it"

    def _refuse(self, why: str, fault: Exception | None) -> None:
        self.why_refused = why[:1000]
        if why != self._logged:
            self._logged, self._logged_at = why, time.monotonic()
            log.error(
                "%s can't be used, and waiting won't help: %s. Nitro retries until that is fixed, and queues events",
                self._remote.name,
                self.why_refused,
                exc_info=fault,
            )
        if not self.refusal.done():
            self.refusal.set_exception(BrokerRefused(self.text))

    def _clear_refusal(self) -> None:
        self.why_refused = ""
        if self.refusal.done():
            self.refusal = _future()

    @property
    def text(self) -> str:
        """The text of `BrokerRefused`."""
        return f"{self._remote.name} can't be used, and waiting won't help: {self.why_refused}"

    def __repr__(self) -> str:
        return f"<LogStatus of {self._remote.name}, unavailable for {self.gone_seconds:.1f} s>"


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """The failed TLS handshake in the causes of a driver's error, if there is one that is permanent."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return None if isinstance(seen, _TRANSIENT_TLS) else seen
        seen = seen.__cause__ or seen.__context__
    return None


def _future() -> Future[None]:
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # it can't be cancelled by one that waits
    return future
