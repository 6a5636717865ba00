"""Audience: a short digest of the user and rights that a stream serves, the same in each process. A pure function.

The browser client shares one stream among tabs, which may belong to different users. So the stream's greeting names its
audience, and a tab joins a running stream only if a greeting requested after it joined names the same one.
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
_json: Final = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, since a sender's key may contain surrogates


def audience(user_id: str | None, interest: Interest, asked: Set[str]) -> str | None:
    """`u…` for a user; without one, `t…` for the server's choices, and None if it made none.

    The server's choices are what is allowed, denied and muted, and the subscriptions other than those that the request
    asked for. So streams that differ only in the requested patterns have the same audience. The senders that the server
    chose for a requested pattern are included.

    Args:
        user_id: the user of the client.
        interest: the interest of the client.
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
    query = None if interest.query is None else interest.query.fingerprint
    if not chosen and allowed is None and not denied and not interest.mutes and query is None:
        return None
    decided = [
        _written(chosen),
        None if allowed is None else _written(allowed),
        _written(denied),
        sorted(interest.mutes),
        *([] if query is None else [query]),
    ]
    return "t" + _digest(f"nitro topics {_json(decided)}")


def _written(pairs: Iterable[tuple[str, SenderKeys]]) -> list[tuple[str, bool, list[str]]]:
    return sorted((pattern, senders is not None, sorted(senders or ())) for pattern, senders in pairs)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_DIGITS]
