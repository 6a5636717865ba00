"""Log status: since when a broker's log is away and why, whether waiting helps, and what people are told.

The link says what failed and what works; emitters and `nitro.statistics()` ask, from any thread.
"""

from __future__ import annotations

import logging
import ssl
import time
from concurrent.futures import Future
from typing import Final

from nitro.brokers.base import DiagnosingLog, Log, Verb
from nitro.errors import BrokerRefused, ConfigurationError
from nitro.redaction import without_echo

__all__ = ["LogStatus"]

log: Final = logging.getLogger("nitro.brokers")

_LOGGED_EVERY_SECONDS: Final = 30.0
_SLIPS: Final = (
    *(TypeError, ValueError, LookupError, AttributeError, NameError),
    *(ArithmeticError, AssertionError, NotImplementedError, ImportError),
)
"""What is wrong in a program, and so will be the next time. A driver may stumble like that over a connection that
breaks, so one counts when it comes a second time, at the same verb and with nothing in between."""
_TLS_MAY_PASS: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""A handshake that was cut off."""


class LogStatus:
    """Whether `remote` is there.

    A failure that may pass is over when the log can be opened again. One that can't is over when the verb that it came
    from has worked: a log that may be read and not be written can be opened again and again.

    Attributes:
        why_gone: what was wrong at the last failure.
        why_refused: why waiting won't help, with the remedy; empty if it may.
        refusal: fails with `BrokerRefused` when waiting won't help any more.
    """

    def __init__(self, remote: Log) -> None:
        self._remote = remote
        self.why_gone: str = "it was not reached yet"
        self.why_refused: str = ""
        self.refusal: Future[None] = _future()
        self._gone_since: float | None = time.monotonic()
        self._over_with: Verb = "open"
        self._slipped_at: Verb | None = None
        self._logged_at = float("-inf")
        self._logged = ""

    @property
    def gone_seconds(self) -> float:
        """For how long it has been gone; 0 while it is there."""
        since = self._gone_since
        return 0.0 if since is None else time.monotonic() - since

    def works(self, verb: Verb) -> bool:
        """The log did that; whether it was gone until now."""
        if self._gone_since is None or verb != self._over_with:
            return False
        if self._logged_at > self._gone_since:
            log.warning("%s is there again, after %.1f s", self._remote.name, self.gone_seconds)
        self._gone_since, self._slipped_at, self._logged = None, None, ""
        self._may_pass()
        return True

    def failed(self, verb: Verb, error: Exception) -> None:
        """The log could not do that."""
        self.why_gone = f"{type(error).__name__}: {without_echo(str(error))}"[:300]
        self._gone_since = self._gone_since or time.monotonic()
        why = self._why_refused(verb, error)
        self._over_with = verb if why or self._slipped_at else "open"
        if why:
            self._refuse(why, error if self._slipped_at else None)
            return
        self._may_pass()
        now = time.monotonic()
        if now - self._logged_at > _LOGGED_EVERY_SECONDS or self._logged_at < self._gone_since:
            self._logged_at = now
            log.warning("%s can't be used: %s. It is tried again, and events wait", self._remote.name, self.why_gone)

    def _why_refused(self, verb: Verb, error: Exception) -> str | None:
        slipped_at, self._slipped_at = self._slipped_at, None
        why = self._remote.why_refused(error) if isinstance(self._remote, DiagnosingLog) else None
        if why is None and isinstance(error, ConfigurationError):
            why = str(error)
        if why is not None:
            return why
        tls = _tls_error(error)
        if tls is None and (isinstance(error, OSError) or not isinstance(error, _SLIPS)):
            return None
        self._slipped_at = verb
        if slipped_at != verb:
            return None
        if tls is not None:
            return f"TLS with it fails ({tls}). Give the certificate to check by, and TLS or none as the server has it"
        return f"a fault in Nitro or its driver, {type(error).__name__}: {error}. Please report it"

    def _refuse(self, why: str, fault: Exception | None) -> None:
        self.why_refused = why[:1000]
        if why != self._logged:
            self._logged, self._logged_at = why, time.monotonic()
            log.error(
                "%s can't be used, and waiting won't help: %s. It is tried now and then whether that is mended, and "
                "events wait",
                self._remote.name,
                self.why_refused,
                exc_info=fault,
            )
        if not self.refusal.done():
            self.refusal.set_exception(BrokerRefused(self.text))

    def _may_pass(self) -> None:
        self.why_refused = ""
        if self.refusal.done():
            self.refusal = _future()

    @property
    def text(self) -> str:
        """What those are told who wait in vain."""
        return (
            f"{self._remote.name} can't be used, and waiting won't help: {self.why_refused}. What is emitted waits, "
            f"and is published once that is mended, if this process lives so long"
        )

    def __repr__(self) -> str:
        return f"<LogStatus of {self._remote.name}, gone for {self.gone_seconds:.1f} s>"


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """The refusal of a TLS handshake that a driver's error comes from, if it does."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return None if isinstance(seen, _TLS_MAY_PASS) else seen
        seen = seen.__cause__ or seen.__context__
    return None


def _future() -> Future[None]:
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # who waits may give up, and that cancels nothing
    return future
