"""Audience: for whom a stream is, in a few characters that any process would write. A pure function.

The browser client shares one stream among tabs, and the tabs of one browser may be those of several users. So the
stream says for whom it is, and a tab joins a running one only if a greeting that was asked for after it joined says the
same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from hashlib import sha256
from typing import Final

from nitro.access.permissions import SenderKeys
from nitro.delivery.interest import Interest

__all__ = ["audience"]

_DIGITS: Final = 16
_json: Final = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, since a sender's key may be no text


def audience(user_id: str | None, interest: Interest, asked: Set[str]) -> str | None:
    """`u…` for a user, `t…` for what the server decided where there is none; None if it decided nothing.

    What the server decided is what it allows and denies, what it mutes, and what it subscribed: all but the patterns
    that the request asked for itself. So streams that differ only in what their pages asked for have one audience. Of a
    pattern that was asked for, the senders that the server chose for it count.

    Args:
        user_id: for whom the client listens.
        interest: what it hears.
        asked: the patterns that the request asked for.
    """
    if user_id is not None:
        return "u" + _digest(f"nitro user {user_id}")
    rights = interest.permissions
    allowed = None if rights is None else rights.allowed
    chosen = {
        ("" if pattern in asked else pattern, senders)
        for pattern, senders in (() if interest.subscriptions == allowed else interest.subscriptions)
        if senders is not None or pattern not in asked
    }
    denied = () if rights is None else rights.denied
    if not chosen and allowed is None and not denied and not interest.mutes:
        return None
    decided = [
        _written(chosen),
        None if allowed is None else _written(allowed),
        _written(denied),
        sorted(interest.mutes),
    ]
    return "t" + _digest(f"nitro topics {_json(decided)}")


def _written(pairs: Iterable[tuple[str, SenderKeys]]) -> list[tuple[str, bool, list[str]]]:
    return sorted((pattern, senders is not None, sorted(senders or ())) for pattern, senders in pairs)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_DIGITS]
