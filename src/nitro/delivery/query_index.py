"""The index of live queries: from changed rows to the feeds of the queries that they may concern.

Fed by the registry; the cost of a look-up doesn't depend on how many queries there are that compare a column with a
value for equality. Queries that don't are asked one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from nitro.delivery.query import Query, RowChange

__all__ = ["QueryIndex"]

F = TypeVar("F")


class QueryIndex(Generic[F]):
    """The feeds of live queries, by class, and there by a column and its value. Not thread-safe: it belongs to one
    lane.
    """

    def __init__(self) -> None:
        self._classes: dict[str, _OfClass] = {}
        self._feeds: dict[Query, dict[F, None]] = {}

    def add(self, query: Query, feed: F) -> None:
        """Index a feed of `query`; one query may have several, whose clients have other rights."""
        feeds = self._feeds.get(query)
        if feeds is None:
            feeds = self._feeds[query] = {}
            self._classes.setdefault(query.topic, _OfClass()).add(query)
        feeds[feed] = None

    def remove(self, query: Query, feed: F) -> None:
        """Remove a feed, and what only it needed."""
        feeds = self._feeds[query]
        del feeds[feed]
        if not feeds:
            del self._feeds[query]
            of_class = self._classes[query.topic]
            of_class.remove(query)
            if not of_class:
                del self._classes[query.topic]

    def feeds(self, query: Query) -> tuple[F, ...]:
        """The feeds of a query."""
        return tuple(self._feeds.get(query, ()))

    def of_class(self, topic: str) -> tuple[Query, ...]:
        """All queries of a class."""
        found = self._classes.get(topic)
        return () if found is None else tuple(found.queries)

    def any_of(self, topic: str) -> Query | None:
        """One of them."""
        found = self._classes.get(topic)
        return None if found is None else next(iter(found.queries))

    def concerned(self, topic: str, rows: Sequence[RowChange]) -> Iterable[Query]:
        """The queries of a class that may have, or have had, one of these rows, each once."""
        found = self._classes.get(topic)
        return () if found is None else found.concerned(rows)

    def __iter__(self) -> Iterator[Query]:
        return iter(tuple(self._feeds))

    def __contains__(self, query: Query) -> bool:
        return query in self._feeds

    def __len__(self) -> int:
        return len(self._feeds)

    def __repr__(self) -> str:
        return f"<QueryIndex of {len(self)} queries>"


class _OfClass:
    """The queries of one class: by a column and its value, and those that compare none for equality."""

    __slots__ = ("by_value", "queries", "unindexed")

    def __init__(self) -> None:
        self.queries: dict[Query, None] = {}
        self.by_value: dict[str, dict[Any, dict[Query, None]]] = {}
        self.unindexed: dict[Query, None] = {}

    def add(self, query: Query) -> None:
        self.queries[query] = None
        column = _column(query)
        if column is None:
            self.unindexed[query] = None
            return
        by_value = self.by_value.setdefault(column, {})
        for value in query.equalities[column]:
            by_value.setdefault(value, {})[query] = None

    def remove(self, query: Query) -> None:
        del self.queries[query]
        column = _column(query)
        if column is None:
            del self.unindexed[query]
            return
        by_value = self.by_value[column]
        for value in query.equalities[column]:
            del by_value[value][query]
            if not by_value[value]:
                del by_value[value]
        if not by_value:
            del self.by_value[column]

    def concerned(self, rows: Sequence[RowChange]) -> Iterable[Query]:
        if any(not row.is_before_known for row in rows):
            return tuple(self.queries)
        found = dict(self.unindexed)
        for column, by_value in self.by_value.items():
            for row in rows:
                for values in (row.before, row.after):
                    if values is not None and (queries := _at(by_value, values, column)):
                        found.update(queries)
        return tuple(found)

    def __bool__(self) -> bool:
        return bool(self.queries)


def _column(query: Query) -> str | None:
    """The column by which a query is looked up: the one with the fewest values, the same each time."""
    return min(query.equalities, key=lambda name: (len(query.equalities[name]), name), default=None)


def _at(by_value: dict[Any, dict[Query, None]], values: Mapping[str, Any], column: str) -> dict[Query, None] | None:
    if column not in values:  # another version of the class: whoever compares it finds out
        return {query: None for queries in by_value.values() for query in queries}
    value = values[column]
    try:
        return None if value is None else by_value.get(value)
    except TypeError:  # it has no hash, so another version of the class has another type there
        return {query: None for queries in by_value.values() for query in queries}
