"""`live_model`: declares a mapped class to be live, and gives by hand what can't be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from nitro.errors import ArgumentTypeError, ConfigurationError
from nitro.events.sessions import check_session
from nitro.live.changes import changes_of
from nitro.live.client import LiveClient
from nitro.live.model import LiveTable
from nitro.live.query import LiveQuery
from nitro.live.renderer import Rendered
from nitro.live.tracking import track

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["LiveModel", "live_model"]

_OPTIONS: Final = frozenset(signature(LiveClient).parameters) - {"query"}
"""What `live` hands on to its client."""


class LiveModel(LiveTable):
    """A mapped class whose rows are announced when they change, and can be queried: what `live_model` gives."""

    def live(
        self,
        *where: Any,
        order_by: Any = None,
        limit: int | None = None,
        rendered: Rendered | None = None,
        target: str | None = None,
        markup: Literal["htmx", "turbo", "datastar"] | None = None,
        **options: Any,
    ) -> LiveClient:
        """A client that gets the rows for which all conditions hold, and whatever becomes of them:
        `EventSourceResponse(orders.live(Order.owner_id == user.id, order_by=Order.created_at, limit=50))`.

        Args:
            where: comparisons of columns with constants, `==`, `!=`, `<`, `<=`, `>`, `>=`, `in_`, `not_in`, `is_`,
                `is_not`, `between`, joined by `and_`, `or_` and `not_`.
            order_by: a column, `column.desc()`, or a list of them.
            limit: the most rows: the first ones in that order.
            rendered: a function of a row that returns HTML, a template, or the path of one of Jinja's, which gets the
                row as `row` and under the class's topic. Then clients get HTML instead of JSON. A row is one element
                with the id `<topic>-<key>`, such as `<li id="todo-7">`.
            target: with `rendered`, the id of the element that contains the rows.
            markup: with `rendered`, the library of the page: `"htmx"` (2 and 4; the default), `"turbo"`, or
                `"datastar"`, whose client goes into a `DatastarResponse`.
            options: of the client: `client_id`, `user_id`, `expires_at`, `grant`, `last_event_id`, `max_messages`, …

        Raises:
            InvalidQuery: a condition may mean something else in Python than in the database, or the target is none.
            ConfigurationError: there is no engine to read rows with, or `rendered` is no function or template.
            ArgumentTypeError: there is no such option.
            AccessDenied, NotAuthenticated: its rights are not enough, or have expired.
        """
        if not _OPTIONS.issuperset(options):
            raise self._unknown(next(name for name in options if name not in _OPTIONS))
        return LiveClient(LiveQuery(self, where, order_by, limit, rendered, target, markup), **options)

    def _unknown(self, option: str) -> ArgumentTypeError:
        if option in self.names:
            name = f"{self.model.__name__}.{option}"
            return ArgumentTypeError(
                f"live() takes conditions by position: write live({name} == …), not live({option}=…)"
            )
        known = ", ".join(["order_by", "limit", "rendered", "target", "markup", *sorted(_OPTIONS)])
        return ArgumentTypeError(f"live() takes no {option!r}; it takes conditions, and {known}")

    def changed(self, ids: Iterable[Any], session: Session) -> None:
        """Announce rows that were changed by what can't be seen, such as SQL as text: as updated, or as deleted if they
        don't exist when the session commits. Clients get it then.

        Args:
            ids: their primary keys; of a composite key, tuples.
            session: the one whose transaction has changed them, or any other afterwards.

        Raises:
            ArgumentTypeError: `ids` is one id, or nothing that has several.
            InvalidQuery: a key has another number of values than the primary key, or is a row.
        """
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise ArgumentTypeError(f"changed() takes a list of ids: give [{ids!r:.80}], not {ids!r:.80}")
        keys = [self.key_from(id) for id in ids]
        try:
            session = check_session(session)
        except ConfigurationError:
            raise ConfigurationError(
                "of an AsyncSession: await session.run_sync(lambda session: orders.changed(ids, session))"
            ) from None
        connection = session.connection(bind_arguments={"mapper": self.mapper})
        changes_of(session).touch_unseen(self, keys, connection)


_declared: dict[type[Any], LiveModel] = {}


def live_model(
    model: type[Any],
    topic: str | None = None,
    *,
    exclude: Collection[str] = (),
    engine: Engine | AsyncEngine | None = None,
) -> LiveModel:
    """Let a class of SQLModel or SQLAlchemy announce its changes: `orders = nitro.live_model(Order)`.

    Every session, synchronous or not, emits `order.created`, `order.updated` and `order.deleted` for the rows that its
    transaction has changed, with the row's id as the sender and the row as the result; of a deleted row its key. They
    are in the same transaction, if the broker's log is in the same database; else they are published right after it.

    Args:
        model: a mapped class with a table of its own.
        topic: takes the place of `order`, the class's name in snake case.
        exclude: attributes that stay on the server, besides those declared with `Field(exclude=True)`.
        engine: what `live` reads rows with. Changes are told whatever the database of the session is that makes them.

    Returns:
        `live`, and `changed` and `silent`, for what can't be seen and for what is not to be announced.

    Raises:
        ConfigurationError: it isn't mapped to a table of its own, it is live already, another class has the topic, or
            `exclude` names no column.
        ArgumentTypeError: `exclude` is a string.
        InvalidTopic, TopicTypeError: the topic breaks the grammar.
    """
    if model in _declared:
        raise ConfigurationError(f"{model.__name__} is live already")
    declared = LiveModel(model, topic, exclude, engine)
    taken = next((each for each in _declared.values() if each.topic == declared.topic), None)
    if taken is not None and _name(taken.model) == _name(model):  # defined again, as a reload or a test does
        del _declared[taken.model]
    elif taken is not None:
        raise ConfigurationError(
            f"the topic {declared.topic!r} is that of {taken.model.__qualname__} already: give another, by topic="
        )
    track(declared)
    _declared[model] = declared
    return declared


def _name(model: type[Any]) -> tuple[str, str]:
    return model.__module__, model.__qualname__
