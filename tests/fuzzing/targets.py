"""The targets: for each way in, a function that takes any bytes and raises if something comes of them that may not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final

from tests.fuzzing.controls import control
from tests.fuzzing.frames import frame
from tests.fuzzing.grants import grants
from tests.fuzzing.logs import broker
from tests.fuzzing.payloads import payload
from tests.fuzzing.publishing import publish
from tests.fuzzing.queries import query
from tests.fuzzing.streams import last_event_id
from tests.fuzzing.tickets import ticket
from tests.fuzzing.topics import topics

Target = Callable[[bytes], None]


def _watched(target: Target) -> Target:
    """The target fails as well where the library catches an error and logs it."""

    @wraps(target)
    def run(data: bytes) -> None:
        with _errors() as logged:
            target(data)
        assert not logged, f"logged: {logged}"

    return run


@contextmanager
def _errors() -> Iterator[list[str]]:
    logged: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(logging.Formatter().format(record))

    keeper = Keeper(logging.ERROR)
    logging.getLogger().addHandler(keeper)
    try:
        yield logged
    finally:
        logging.getLogger().removeHandler(keeper)


_ALL: Final = (frame, topics, grants, payload, ticket, query, last_event_id, broker, control, publish)
TARGETS: Final[dict[str, Target]] = {target.__name__: _watched(target) for target in _ALL}
