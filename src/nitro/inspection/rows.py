"""Rows: what an inspector shows of the clients of one process, read where it stands. Nothing is counted for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from heapq import nlargest
from operator import itemgetter
from typing import Any, Final, NamedTuple

from nitro.access.permissions import Subscribed
from nitro.clients.client import Client, active_clients
from nitro.delivery.outbox import Outbox
from nitro.delivery.query import Query
from nitro.delivery.reader import Reader
from nitro.inspection.view import SortedBy, View
from nitro.sse.connection import Connection
from nitro.sse.direct import DirectStream

__all__ = ["SLOWEST", "Listing", "Row", "Seen", "key_of"]

_Pair = tuple[Client, Outbox]
Order = tuple[str, SortedBy, bool]
"""A filter, by what is sorted, and whether the greatest is first."""
Row = dict[str, Any]
"""One client as the page gets it."""

_SHOWN: Final = 5
"""So many patterns are named; of the others, how many there are."""
_SHOWN_CHARS: Final = 100
_USER_CHARS: Final = 500
"""A user with a longer id can't be disconnected by it on the page."""
SLOWEST: Final = 5
"""So many are named for which most waits."""
_SHARE: Final = 0.003
"""Of the time, for putting clients in an order."""
_LEAST_SECONDS: Final = 1.0
_MANY: Final = 0.9
"""Of the clients that were put in an order: if fewer are left, it is made anew."""
_AS_THEY_CAME: Final[Order] = ("", "since", False)


class _Ordered(NamedTuple):
    pairs: list[_Pair]
    outdated_at: float
    ordered_at: float
    connected: int

    def has_lost_many(self) -> bool:
        """Whether so many clients are gone since that the list would be about those."""
        is_older = time.monotonic() > self.ordered_at + _LEAST_SECONDS
        return is_older and len(active_clients) < _MANY * self.connected


class Seen(NamedTuple):
    """What a view shows of one process.

    Attributes:
        of: the order that it is of.
        matching: how many clients the filter leaves.
        first: the place among those of the first row.
        rows: those in the window.
    """

    of: Order
    matching: int
    first: int
    rows: list[Row]


class Listing:
    """The clients of one process, in the orders in which pages want them. Used in one thread.

    To put thousands in order takes a while, so that is done again only when it has become a small share of the time.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._ordered: dict[Order, _Ordered] = {}

    def see(self, view: View) -> Seen:
        """The part of the clients that a view shows."""
        first, length = view.window
        order = view[:3]
        if order == _AS_THEY_CAME:
            clients = active_clients.connected()
            rows = self._rows(pair for pair in _open(clients[first : first + length]))
            return Seen(order, len(clients), first, rows)
        found = self._ordered.get(order)
        if found is None or time.monotonic() > found.outdated_at or found.has_lost_many():
            found = self._ordered[order] = self._order(view)
        return Seen(order, len(found.pairs), first, self._rows(found.pairs[first : first + length]))

    def slowest(self, outboxes: Iterable[Outbox]) -> list[Row]:
        """Of those whose sinks lag behind, the ones for which most bytes wait, the slowest first."""
        waiting = [(outbox.waiting[1], outbox) for outbox in outboxes]
        slow = [outbox for size, outbox in nlargest(SLOWEST, waiting, key=itemgetter(0)) if size]
        if not slow:
            return []
        clients = {outbox: client for client, outbox in _open(active_clients.connected())}
        return self._rows((clients[outbox], outbox) for outbox in slow if outbox in clients)

    def forget_others(self, views: Iterable[View]) -> None:
        """Nobody wants any other order now."""
        wanted = {view[:3] for view in views}
        self._ordered = {order: found for order, found in self._ordered.items() if order in wanted}

    def _order(self, view: View) -> _Ordered:
        began = time.thread_time()
        pairs = _open(active_clients.connected())
        if view.filter:
            wanted = view.filter.casefold()
            pairs = [pair for pair in pairs if any(wanted in text.casefold() for text in _texts(*pair))]
        pairs.sort(key=_ORDERS[view.sort], reverse=view.descending)
        took, now = time.thread_time() - began, time.monotonic()
        lasts = took * max(1, len(self._ordered)) / _SHARE  # all orders together take that share
        return _Ordered(pairs, now + lasts, now, len(active_clients))

    def _rows(self, pairs: Iterable[_Pair]) -> list[Row]:
        return [_row(self._worker, *pair) for pair in pairs if not pair[1].is_ended]

    def __repr__(self) -> str:
        return f"<Listing of {self._worker} in {len(self._ordered)} orders>"


def key_of(worker: str, client: Client, outbox: Outbox) -> str:
    """What names this connection of a client, and no other one in any process."""
    return f"{worker}/{id(client):x}-{int(outbox.made_at * 1000):x}"


_ORDERS: Final[dict[SortedBy, Callable[[_Pair], Any]]] = {
    "since": lambda pair: pair[1].made_at,
    "waiting": lambda pair: pair[1].waiting[1],
    "user": lambda pair: (pair[0].user_id is None, pair[0].user_id or "", pair[1].made_at),
    "address": lambda pair: (not pair[0].address, pair[0].address or "", pair[1].made_at),
}


def _open(clients: Iterable[Client]) -> list[_Pair]:
    outboxes = ((client, client._membership.outbox) for client in clients)
    return [(client, outbox) for client, outbox in outboxes if outbox is not None and not outbox.is_ended]


def _texts(client: Client, outbox: Outbox) -> Iterator[str]:
    yield client.user_id or ""
    yield client.address or ""
    yield _way(outbox)
    chain = outbox.chain
    if chain is not None:
        for pattern, _ in chain.interest.subscriptions:
            yield pattern
        if chain.interest.query is not None:
            yield _name(chain.interest.query)


def _row(worker: str, client: Client, outbox: Outbox) -> Row:
    chain = outbox.chain
    interest = client.interest if chain is None else chain.interest
    topics, more_topics = _shown(interest.subscriptions)
    row: Row = {
        "key": key_of(worker, client, outbox),
        "worker": worker,
        "user": client.user_id if client.user_id is None else client.user_id[:_USER_CHARS],
        "is_cut": len(client.user_id or "") > _USER_CHARS,
        "address": _text(client.address) or None,
        "topics": topics,
        "more_topics": more_topics,
        "mutes": len(interest.mutes),
        "rights": None,
        "query": None if interest.query is None else _name(interest.query),
        "waiting": outbox.waiting,
        "since": time.time() - (time.monotonic() - outbox.made_at),
        "way": _way(outbox),
        "state": outbox.state.value,
    }
    permissions = interest.permissions
    if permissions is not None and permissions.allowed is not None:
        row["rights"], row["more_rights"] = _shown(permissions.allowed)
    return row


def _shown(patterns: Subscribed) -> tuple[list[str], int]:
    names = sorted({pattern for pattern, _ in patterns})
    return [name[:_SHOWN_CHARS] for name in names[:_SHOWN]], max(0, len(names) - _SHOWN)


def _text(address: str | None) -> str:
    """An address, which the application may have made of anything."""
    return (address or "")[:_SHOWN_CHARS].encode("utf-8", "replace").decode()


def _name(query: Query) -> str:
    """What it is a query of; its conditions may hold what nobody but its clients may see."""
    return _text(repr(query).strip("<>").partition(":")[0])


def _way(outbox: Outbox) -> str:
    sink = outbox.sink
    if isinstance(sink, DirectStream):
        return "direct"
    if isinstance(sink, Connection):
        return "inline" if sink.is_inline else "task"
    return "reader" if isinstance(sink, Reader) else "none"
