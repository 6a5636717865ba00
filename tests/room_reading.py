"""A page that watches a room, for tests: it applies what comes, as a browser does, and knows who is there."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from tests.sse import Stream

__all__ = ["RoomReading"]


class RoomReading:
    """One connection of a user.

    Attributes:
        members: user → state's name, of each room that it watches; None if only the count is told.
        counts: how many they are.
        told: the events of rooms, in order.
        others: the data of other events.
        gaps: the data of gaps.
        last_id: of its newest event.
    """

    def __init__(self, port: int, user: str, *, watch: str = "", room: str = "", **parameters: Any) -> None:
        query = [("user", user), ("room", room), *parameters.items()]
        query += [("topic", f"presence.{name}") for name in watch.split(",") if name]
        query += [] if watch and "topic" not in parameters else [("topic", "note")]
        headers = f"Last-Event-ID: {parameters.pop('after')}\r\n" if "after" in parameters else ""
        path = "/events?" + "&".join(f"{name}={value}" for name, value in query if name != "after")
        self.user = user
        self.members: dict[str, dict[str, Any] | None] = {}
        self.counts: dict[str, int] = {}
        self.told: list[dict[str, Any]] = []
        self.others: list[Any] = []
        self.gaps: list[Any] = []
        self.last_id = ""
        self._stream = Stream(port, path, headers)
        self._stream.read_head()
        assert self._stream.head.startswith("HTTP/1.1 200"), self._stream.head

    @property
    def socket(self) -> socket.socket:
        return self._stream.socket

    def read(self, seconds: float = 0.01) -> None:
        """Take what has come, and what comes within so many seconds of it."""
        self._stream.socket.settimeout(seconds)
        try:
            while True:
                self._stream.read_more()
        except (TimeoutError, BlockingIOError):
            pass
        finally:
            self._stream.socket.settimeout(10)
        *events, self._stream.body = self._stream.body.split(b"\n\n")
        for event in events:
            self._take(dict(line.partition(": ")[::2] for line in event.decode().splitlines()))

    def until(self, condition: Callable[[RoomReading], object], seconds: float = 15) -> RoomReading:
        """Read until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, (self.user, self.members, self.counts, self.told[-5:])
            self.read()
        return self

    def names(self, room: str) -> set[str] | None:
        """Who is in a room; None if that isn't told."""
        found = self.members.get(room)
        return None if found is None else set(found)

    def close(self) -> None:
        """Go as a page does that is closed."""
        self._stream.socket.close()

    def vanish(self) -> None:
        """Go as a page does whose process has crashed."""
        self._stream.reset()

    def _take(self, fields: dict[str, str]) -> None:
        self.last_id = fields.get("id", self.last_id)
        if fields.get("event") == "gap":
            self.gaps.append(json.loads(fields["data"]))
        elif fields.get("event") == "nitro.presence":
            self._apply(json.loads(fields["data"]))
        elif "data" in fields:
            self.others.append(json.loads(fields["data"]))

    def _apply(self, news: dict[str, Any]) -> None:
        self.told.append(news)
        room = news["room"]
        self.counts[room] = news["count"]
        if "members" in news:
            self.members[room] = {each["user_id"]: name_of(each) for each in news["members"]}
        elif not news.keys() & {"joined", "left", "updated"}:
            self.members[room] = None
        else:
            members = self.members[room]
            assert members is not None, "changes come only after a list"
            for each in news.get("joined", ()):
                assert each["user_id"] not in members, "who joins wasn't there"
                members[each["user_id"]] = name_of(each)
            for each in news.get("updated", ()):
                assert each["user_id"] in members, "who changes is there"
                members[each["user_id"]] = name_of(each)
            for user in news.get("left", ()):
                del members[user]
            assert len(members) == news["count"]


def name_of(member: dict[str, Any]) -> Any:
    state = member["state"]
    return None if state is None else state["name"]
