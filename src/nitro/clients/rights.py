"""Rights: what one client may hear. Changed by the application, and frozen as `Permissions` for the delivery."""

from __future__ import annotations

from nitro.access.permissions import Permissions, SenderKeys
from nitro.clients.grant import Grant
from nitro.clients.patterns import Senders, checked, patterns_of, sender_keys, united
from nitro.events.sender import AnyType

__all__ = ["Rights"]


class Rights:
    """The mutable rights of a client, initially those of its grant.

    Attributes:
        permissions: the current rights, frozen; None if everything is allowed.
    """

    def __init__(self, grant: Grant) -> None:
        self._allowed = None if grant._allowed is None else dict(grant._allowed)
        self._denied = patterns_of(grant.denied, "denied") if grant.denied else {}
        self._revoked: dict[str, SenderKeys] = {}
        self._freeze()

    def grant(self, topic: str | AnyType, senders: Senders) -> None:
        """Allow a pattern for these senders, too, and undo a `revoke` of the same pattern; `denied` still applies."""
        pattern, keys = checked(topic), sender_keys(senders)
        self._revoked.pop(pattern, None)
        if self._allowed is not None:
            self._allowed[pattern] = united(self._allowed, pattern, keys)
        self._freeze()

    def revoke(self, topic: str | AnyType) -> None:
        """Deny a pattern for all senders, until it is granted again."""
        pattern = checked(topic)
        self._revoked[pattern] = None
        if self._allowed is not None:
            self._allowed.pop(pattern, None)
        self._freeze()

    def cover(self, pattern: str, keys: SenderKeys) -> bool:
        """Whether the client may subscribe to this pattern with these senders."""
        return self.permissions is None or self.permissions.cover(pattern, keys)

    def have_all_of(self, topic: str) -> bool:
        """Whether the client may hear all messages with this topic."""
        return self.permissions is None or self.permissions.has_all_of(topic)

    @property
    def allowed(self) -> dict[str, SenderKeys] | None:
        """Pattern → keys of its allowed senders; None if there is no restriction."""
        return self._allowed

    def _freeze(self) -> None:
        denied = {**self._denied, **self._revoked}
        self.permissions: Permissions | None = (
            None if self._allowed is None and not denied else Permissions.of(self._allowed, denied)
        )

    def __repr__(self) -> str:
        allowed = "everything" if self._allowed is None else list(self._allowed)
        return f"<Rights to {allowed}, but {[*self._denied, *self._revoked]}>"
