"""What becomes of a run other than well, as errors of those who write or await it."""

from __future__ import annotations

from nitro.errors import NitroError

__all__ = ["RunCancelled", "RunEnded", "RunFailed", "RunLost", "RunNotFound", "RunTaken"]


class RunNotFound(NitroError, LookupError):
    """There is no such run for this user, or no longer."""


class RunTaken(NitroError, RuntimeError):
    """Somebody else writes this run by now: it was restarted, or opened again. Nothing of this was stored."""


class RunEnded(NitroError, RuntimeError):
    """The run has ended already, so that nothing can be added. Nothing of this was stored."""


class RunFailed(NitroError):
    """The run failed. Raised by the work itself, its text is the reason that readers are told."""


class RunCancelled(RunFailed):
    """The run was cancelled."""


class RunLost(RunFailed):
    """Whoever wrote the run died, was stopped, or was away for longer than its lease, and nobody could go on; or nobody
    began to write it.
    """
