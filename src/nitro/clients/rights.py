"""Rights: what one client may hear; changed by the application, frozen into `Permissions` for the delivery."""

from __future__ import annotations

from typing import Any

from nitro.access.permissions import Permissions, Senders
from nitro.clients.patterns import checked, patterns_of, sender_keys, united

__all__ = ["Rights"]


class Rights:
    """Made with what the application allows and denies.

    Args:
        allowed: a topic or pattern, a list of them, or a mapping of those to senders; None allows everything.
        denied: the same, denied whatever is allowed.

    Attributes:
        permissions: the same, frozen; None while everything is allowed.
    """

    def __init__(self, allowed: Any, denied: Any) -> None:
        self._allowed = None if allowed is None else patterns_of(allowed, "allowed")
        self._denied = patterns_of(denied, "denied")
        self._revoked: dict[str, Senders] = {}
        self._freeze()

    def grant(self, topic: Any, senders: Any) -> None:
        """Allow a pattern, of these senders too, if it isn't denied; it is revoked no more, if that was written so."""
        pattern, keys = checked(topic), sender_keys(senders)
        self._revoked.pop(pattern, None)
        if self._allowed is not None:
            self._allowed[pattern] = united(self._allowed, pattern, keys)
        self._freeze()

    def revoke(self, topic: Any) -> None:
        """Deny a pattern, whoever is the sender, until it is granted."""
        pattern = checked(topic)
        self._revoked[pattern] = None
        if self._allowed is not None:
            self._allowed.pop(pattern, None)
        self._freeze()

    def cover(self, pattern: str, keys: Senders) -> bool:
        """Whether one may subscribe so."""
        return self.permissions is None or self.permissions.cover(pattern, keys)

    @property
    def allowed(self) -> dict[str, Senders] | None:
        """Pattern → keys of the senders that are allowed; None while nothing is said."""
        return self._allowed

    def _freeze(self) -> None:
        denied = {**self._denied, **self._revoked}
        self.permissions = None if self._allowed is None and not denied else Permissions.of(self._allowed, denied)

    def __repr__(self) -> str:
        allowed = "everything" if self._allowed is None else list(self._allowed)
        return f"<Rights to {allowed}, but {[*self._denied, *self._revoked]}>"
