"""The view: which clients somebody wants to see, in which order, and the part of that list that is on the screen."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from nitro.errors import InvalidPayload

__all__ = ["MOST_ROWS", "SortedBy", "View", "Window"]

SortedBy: TypeAlias = Literal["since", "waiting", "user", "address"]
"""By what a list is ordered; see `View`."""

MOST_ROWS: Final = 200
"""The longest part of a list that is sent at once; no screen shows more."""


class Window(NamedTuple):
    """A part of a list: the place of its first row, and how many rows it has at most."""

    first: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    length: Annotated[int, Field(ge=0, le=MOST_ROWS)] = 60


class View(NamedTuple):
    """What one page shows of the clients.

    Attributes:
        filter: a text that the user, the address, a topic or the way of a client contains, in any case.
        sort: by when they came, by how many bytes wait for them, by user or by address.
        descending: whether the greatest is first.
        window: the part that is seen.
        number: of two views of one page, the one with the greater number is what it shows now.
    """

    filter: Annotated[str, Field(max_length=200)] = ""
    sort: SortedBy = "since"
    descending: bool = False
    window: Window = Window()
    number: Annotated[int, Field(ge=0)] = 0

    @classmethod
    def parse(cls, fields: object) -> Self:
        """The view in decoded JSON.

        Raises:
            InvalidPayload: it is none.
        """
        try:
            return _VIEW.validate_python(fields)  # type: ignore[return-value]
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidPayload(f"that is no view: {where}: {first['msg']}") from None


_VIEW: Final = TypeAdapter(View)
