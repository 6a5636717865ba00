"""The attendee: a client's user in the rooms of that client. Not thread-safe: the client holds its lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic_core import from_json

from nitro.errors import ConfigurationError, InvalidPayload, PayloadTooLarge, TopicTypeError
from nitro.events.payload import encode
from nitro.messages.presence import Entry, Report
from nitro.rooms.process import check_room, get_rooms
from nitro.rooms.service import RoomService

__all__ = ["Attendee"]

_MAX_STATE_BYTES: Final = 1024
_MAX_USER_CHARS: Final = 256


class Attendee:
    """Enters the rooms when the client joins, and leaves them with it.

    Args:
        rooms: a room, or several, or an empty list.
        state: what the application says of the user: what JSON can hold; None says nothing.
        user_id: the user.

    Raises:
        InvalidTopic, TopicTypeError: a room's name breaks the grammar.
        ConfigurationError: there is no user in a room, or a state without rooms.
        InvalidPayload, PayloadTooLarge: the state can't be sent, or is longer than 1 KiB; the user's id is longer than
            256 characters.
    """

    __slots__ = ("_entered", "_rooms", "_state", "_user_id")

    def __init__(self, rooms: str | Sequence[str] | None, state: Any, user_id: str | None) -> None:
        if not isinstance(rooms, str | Iterable | None):
            raise TopicTypeError(f"presence is a room or a list of rooms, not {type(rooms).__name__}")
        named = [rooms] if isinstance(rooms, str) else list(rooms or ())
        self._rooms: tuple[str, ...] = tuple(dict.fromkeys(check_room(room) for room in named))
        self._user_id = user_id or ""
        self._entered: RoomService | None = None
        if self._rooms and user_id is None:
            raise ConfigurationError("who is present is a user: pass user_id=, or a grant with one, beside presence=")
        if self._rooms and len(self._user_id) > _MAX_USER_CHARS:
            raise PayloadTooLarge(f"a user who is present has an id of at most {_MAX_USER_CHARS} characters")
        if state is not None and rooms is None:  # rooms that a request asks for may be none
            raise ConfigurationError("a state says something of a user in a room: pass presence=, too")
        self._state = _checked(state)

    def enter(self) -> None:
        """Be in the rooms."""
        if self._rooms and self._entered is None:
            self._entered = get_rooms()
            for room in self._rooms:
                self._entered.enter(room, self._user_id, self._state)

    def leave(self) -> None:
        """Be there no longer, on behalf of this client."""
        service, self._entered = self._entered, None
        if service is not None:
            for room in self._rooms:
                service.leave(room, self._user_id)

    def set_state(self, state: Any) -> None:
        """Say something else of the user, in all rooms. Raises as the constructor."""
        if not self._rooms:
            raise ConfigurationError("this client is in no room: Client(presence=...)")
        self._state = _checked(state)
        if self._entered is not None:
            for room in self._rooms:
                self._entered.set_state(room, self._user_id, self._state)

    def start_anew(self) -> None:
        """Reset in a forked child, where it is in no room."""
        self._entered = None

    def __repr__(self) -> str:
        return f"<Attendee {self._user_id!a:.60} of {list(self._rooms)}>"


def _checked(state: Any) -> Any:
    """A copy of the state as JSON gives it."""
    if state is None:
        return None
    copy = from_json(encode(state, _MAX_STATE_BYTES))
    report = Report("change", "", rooms={"": {"": Entry(copy, 0.0)}})
    if Report.parse(report.payload) is None:
        raise InvalidPayload("the state is nested too deep to be reported; use fewer levels")
    return copy
