"""Live queries: what the clients of queries get, when rows change and when rows have to be read.

Fed by the lane with changed rows, and with clients that need all rows: those that begin, and those that have missed
something. Feeds the chains of the queries' feeds; a client that needs all rows gets nothing before they are read, then
the rows, then what has changed meanwhile. Rows are read once for all who need them at a time.

A query with a limit has a window, the rows that its clients have. Which row moves up when one leaves is known to the
database alone: the window is read again, and its clients get the difference.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Final

from nitro.delivery.changed_rows import ChangedRows
from nitro.delivery.clients import Clients
from nitro.delivery.inbox import Action
from nitro.delivery.outbox import Outbox
from nitro.delivery.query import INCOMPLETE, MISSED, Operation, Query, QueryUndecided, Shown, decode, operations_of
from nitro.delivery.query_state import QueryState, difference, slid
from nitro.delivery.registry import FeedRegistry
from nitro.delivery.replay import Replay
from nitro.delivery.row_order import RowOrder
from nitro.delivery.schedule import Schedule
from nitro.delivery.snapshot import Restart, Snapshot
from nitro.delivery.statistics import EndReason
from nitro.messages.message import Message, Position
from nitro.messages.row_changes import RowChanges

__all__ = ["LiveQueries"]

log: Final = logging.getLogger("nitro.delivery")

_MOST_PENDING: Final = 1_000
"""If more changes come while a window is read, it is read once more instead."""
_SHARED_SECONDS: Final = 5.0
"""For how long those who begin with the same query share what was read; who comes later gets what nobody told, too."""
_RETRIES_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Pauses after a reading that has failed; after the last one, the clients that wait for it are ended."""


class LiveQueries:
    """Belongs to one lane.

    Args:
        loop: in which rows are read; None for threads without one, whose clients wait until a loop adopts them.
        context: the context in which they are read.
        changes_since: a replay of what has changed since rows were read.
        act: runs an action in the lane, after everything posted so far.
        end: ends a client whose rows can't be read.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        context: Context,
        clients: Clients,
        feeds: FeedRegistry,
        schedule: Schedule,
        *,
        changes_since: Callable[[Outbox, Position], Replay],
        act: Callable[[Action], None],
        end: Callable[[Outbox, EndReason], None],
    ) -> None:
        self._loop = loop
        self._context = context
        self._feeds = feeds
        self._schedule = schedule
        self._changes_since = changes_since
        self._act = act
        self._end = end
        self._waiting = clients.index()
        self._resumed = clients.index()  # with a window
        self._states: dict[Query, QueryState] = {}
        self._order = RowOrder()
        self._broken_at: dict[str, Position] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def restart(self, outbox: Outbox, *, is_reset: bool) -> None:
        """Give `outbox` all rows of its query, and nothing before; `is_reset`: it has had some."""
        if outbox.is_ended or outbox.chain is None:
            return
        query = _query(outbox.chain.interest.query)
        outbox.hold(MISSED if is_reset or outbox.held_for == MISSED else INCOMPLETE)
        self._waiting[outbox] = None
        self._resumed.pop(outbox, None)
        self._schedule.hold(outbox)
        state = self._states.get(query)
        if state is None:
            state = self._states[query] = QueryState(self._feeds.position)
        state.waiting[outbox] = None
        if state.is_reading:
            return
        has_window = query.limit is not None and state.has_window_since(monotonic() - _SHARED_SECONDS)
        if has_window or (query.limit is None and state.snapshot is not None):
            self._start_waiting(query, state)
        else:
            self._begin_reading(query, state)

    def give_up(self, outbox: Outbox) -> None:
        """`outbox` resumes from an id, and needs no rows."""
        self._waiting.pop(outbox, None)

    def append(self, changed: ChangedRows) -> None:
        """Tell the clients of all queries what a transaction means for them, at its place in the log."""
        self._feeds.position = changed.position
        if self._feeds.queries and changed.changes is not None:
            self._tell(changed.changes, changed.position)

    def lose(self) -> None:
        """Changes were lost: all rows have to be read again."""
        for query in self._feeds.queries:
            self._read_again(query)

    def forget(self, query: Query) -> None:
        """A client of `query` has left: if it was the last one, its rows are of no interest any more."""
        if query not in self._feeds.queries:
            self._states.pop(query, None)

    def is_behind(self, query: Query | None) -> bool:
        """Whether clients of `query` have yet to get something from before the lane's position."""
        state = None if query is None else self._states.get(query)
        return state is not None and state.is_reading and state.window is not None

    def _tell(self, changes: RowChanges, position: Position) -> None:
        queries = self._feeds.queries
        any_query = queries.any_of(changes.model)
        if any_query is None:
            return
        try:
            rows = None if changes.rows is None else decode(any_query, changes)
        except QueryUndecided:
            rows = None
        if rows is None:
            for query in queries.of_class(changes.model):
                self._read_again(query)
            return
        if broken := self._order.broken_by(changes):
            self._read_rows_again(any_query, [*broken, changes], position)
            return
        for query in queries.concerned(changes.model, rows):
            try:
                operations = operations_of(query, rows)
            except QueryUndecided:
                self._read_again(query)
            else:
                if operations:
                    self._apply(query, operations, position)

    def _read_rows_again(self, any_query: Query, changes: list[RowChanges], position: Position) -> None:
        """Rows were not what they had been left as: another change of them is missing, or comes too late."""
        self._broken_at[any_query.topic] = position
        queries, topic = self._feeds.queries, any_query.topic
        try:
            concerned = queries.concerned(topic, [row for each in changes for row in decode(any_query, each)])
        except QueryUndecided:
            concerned = queries.of_class(topic)
        for query in concerned:
            self._read_again(query)

    def resumes(self, outbox: Outbox, after: Position) -> bool:
        """Whether `outbox`, which has what came up to `after`, can go on with what came then."""
        assert outbox.chain is not None
        query = _query(outbox.chain.interest.query)
        if query.limit is not None:
            self._resumed[outbox] = None
        broken_at = self._broken_at.get(query.topic)
        return broken_at is None or broken_at.epoch != after.epoch or after.sequence >= broken_at.sequence

    def _apply(self, query: Query, operations: list[Operation], position: Position) -> None:
        state = self._states.get(query)
        if query.limit is None:
            if state is not None:
                state.is_changed, state.snapshot = True, None
            self._give(query, operations, position)
        elif state is not None and state.window is not None and not state.is_reading:
            self._slide(query, state, operations, position)
        else:
            if state is not None and state.is_reading:
                state.pending.append((position, operations))
                if len(state.pending) > _MOST_PENDING:
                    state.pending, state.is_stale = [], True
            if state is None or state.window is None:
                self._restart_all(query)
        if query.limit is not None:
            self._restart_resumed(query)

    def _slide(self, query: Query, state: QueryState, operations: list[Operation], position: Position) -> None:
        """Change the window, or read it again if its edge changes."""
        assert state.window is not None
        assert query.limit is not None
        found = slid(state.window, operations, query.limit, is_html=query.markup is not None)
        if found is None:
            self._begin_reading(query, state, is_wrong=True)
            return
        window, given = found
        state.is_sorted = state.is_sorted and not any(each.is_placed for each in given)
        state.window, state.snapshot, state.complete_to = window, None, position
        self._give(query, given, position)

    def _give(self, query: Query, operations: list[Operation], position: Position) -> None:
        if operations:
            message = Message(query.topic, None, query.encode(operations), position)
            self._feeds.append_rows(self._feeds.queries.feeds(query), message)

    def _read_again(self, query: Query) -> None:
        """What the clients of `query` have may be wrong."""
        state = self._states.get(query)
        if state is not None:
            state.snapshot = None
            state.is_stale = state.is_reading
        if state is None or state.window is None:
            self._restart_all(query)
        elif not state.is_reading:
            self._begin_reading(query, state, is_wrong=True)
        if query.limit is not None:
            self._restart_resumed(query)

    def _restart_resumed(self, query: Query) -> None:
        """Who resumed has a window, but which one isn't known: that which was read may be ahead of the log."""
        for outbox in tuple(self._resumed):
            if outbox.chain is not None and outbox.chain.interest.query == query:
                self.restart(outbox, is_reset=True)

    def _restart_all(self, query: Query) -> None:
        for feed in self._feeds.queries.feeds(query):
            for outbox in feed:
                if outbox not in self._waiting:
                    self.restart(outbox, is_reset=True)

    def _begin_reading(self, query: Query, state: QueryState, *, is_wrong: bool = False) -> None:
        if self._loop is None:
            return
        state.is_wrong = is_wrong
        state.is_reading, state.is_changed, state.is_stale = True, False, False
        state.position, state.pending = self._feeds.position, []
        task = self._loop.create_task(self._read(query, state), name="nitro live query", context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, query: Query, state: QueryState) -> None:
        for pause in (*_RETRIES_SECONDS, None):
            try:
                rows = await query.read()
            except Exception:
                if pause is None:
                    log.exception("the rows of %r can't be read, and its clients are ended", query)
                    self._act(partial(self._fail, query, state))
                    return
                log.warning("the rows of %r can't be read; trying again in %s s", query, pause, exc_info=True)
                await asyncio.sleep(pause)
            else:
                self._act(partial(self._have_read, query, state, rows))
                return

    def _fail(self, query: Query, state: QueryState) -> None:
        state.is_reading = False
        if self._states.get(query) is not state:
            return  # all its clients have left
        ended = [outbox for outbox in state.waiting if outbox in self._waiting]
        state.waiting = {}
        if state.window is not None and not (state.is_wrong or state.is_stale):
            self._catch_up(query, state)
            self._feeds.close_all()
        elif state.window is not None:
            state.window = None
            ended += [each for feed in self._feeds.queries.feeds(query) for each in feed]
        for outbox in dict.fromkeys(ended):
            self._end(outbox, "broken")

    def _have_read(self, query: Query, state: QueryState, rows: list[Shown]) -> None:
        state.is_reading = False
        if self._states.get(query) is not state:
            return  # all its clients have left
        if state.is_stale:
            self._begin_reading(query, state, is_wrong=True)
            return
        state.snapshot = Snapshot(query, state.position, rows)
        if query.limit is not None:
            self._slide_to(query, state, dict(rows))
        self._start_waiting(query, state)
        if query.limit is None:
            assert self._loop is not None
            self._loop.call_later(_SHARED_SECONDS, self._drop, query, state, state.snapshot, context=self._context)
            if state.is_changed:
                state.snapshot = None
        self._feeds.close_all()

    def _slide_to(self, query: Query, state: QueryState, window: dict[str, bytes]) -> None:
        """Give the clients the difference between two windows, then what has changed since the new one was read."""
        before, state.window, state.is_sorted, state.complete_to = state.window, window, True, state.position
        state.read_at = monotonic()
        given = [] if before is None else difference(before, window, is_html=query.markup is not None)
        self._give(query, given, state.position)
        self._catch_up(query, state)
        if given:
            self._restart_resumed(query)

    def _catch_up(self, query: Query, state: QueryState) -> None:
        """Give the clients of a window what has changed since its reading began."""
        pending, state.pending = state.pending, []
        for position, operations in pending:
            if state.is_reading:  # of what was pending, one has changed the edge: what is being read has them all
                break
            self._slide(query, state, operations, position)

    def _start_waiting(self, query: Query, state: QueryState) -> None:
        """Give all rows to those who wait for them."""
        waiting, state.waiting = state.waiting, {}
        for outbox in waiting:
            if outbox in self._waiting:
                self._start(outbox, query, state)

    def _start(self, outbox: Outbox, query: Query, state: QueryState) -> None:
        chain = outbox.chain
        assert chain is not None
        del self._waiting[outbox]
        self._feeds.close(chain)
        snapshot, changes = state.snapshot, None
        if query.limit is not None:
            if snapshot is None:
                assert state.window is not None
                snapshot = state.snapshot = Snapshot(query, state.complete_to, list(state.window.items()))
            position = state.complete_to if state.is_reading else self._feeds.position
        else:
            assert snapshot is not None
            position = self._feeds.position
            if state.is_changed:
                position = snapshot.position
                changes = self._changes_since(outbox, position)
        batches = snapshot.batches(position, is_reset=outbox.held_for == MISSED)
        outbox.resume(Restart(batches, changes))
        chain.owes_id = True
        self._schedule.resume(outbox)

    def _drop(self, query: Query, state: QueryState, snapshot: Snapshot) -> None:
        """Keep the rows of a query no longer, since nobody else has begun with it."""
        if state.snapshot is snapshot:
            state.snapshot = None
        if self._states.get(query) is state and not (state.is_reading or state.snapshot or state.waiting):
            del self._states[query]

    def __repr__(self) -> str:
        return f"<LiveQueries: {len(self._feeds.queries)}, {len(self._waiting)} clients wait for rows>"


def _query(query: Query | None) -> Query:
    assert query is not None  # only clients of live queries come here
    return query
