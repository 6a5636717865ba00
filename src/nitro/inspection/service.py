"""The service: lets this process answer inspectors, and gathers for its own ones what all processes answer.

It has a thread with an event loop of its own, which lives as long as somebody looks: an inspector of this process, or
one of another process, which says so in the log now and then. Nothing is done for it at any other time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from nitro.brokers.tasks import end_all
from nitro.delivery.hub import Hub
from nitro.delivery.process import broker_settings
from nitro.inspection.board import Board
from nitro.inspection.sight import compose, parse_report, windows_of
from nitro.inspection.traffic import Traffic
from nitro.inspection.view import MOST_ROWS, View
from nitro.inspection.worker import Worker
from nitro.messages.inspection import Inspection
from nitro.redaction import text_of, without_echo
from nitro.streams.urls import make_store

__all__ = ["InspectionService", "Viewer"]

log: Final = logging.getLogger("nitro.inspection")

_PAUSE_SECONDS: Final = 1.0
"""Between two reports."""
_SHARE: Final = 0.005
"""Reports take at most so much of a core: the pause is longer if they take long."""
_LONGEST_PAUSE_SECONDS: Final = 5.0
_HURRY_SECONDS: Final = 0.25
"""Between two reports, if a page asks for other clients."""
_SAYS_EVERY_SECONDS: Final = 20.0
"""How often other processes are told that somebody looks: one that has just started hears it then."""
_FRESH_SECONDS: Final = 8.0
"""What has not changed for so long is over: a process is silent, or an inspector has gone."""

_ANSWER_SECONDS: Final = 3.0
"""What doesn't answer within that time keeps the page waiting no longer."""
_GATHERING_SECONDS: Final = 0.8
"""A page gets its first report when other processes have had time to answer."""
_AGAIN_SECONDS: Final = 1.0
_MOST_BYTES: Final = 500_000
"""Of a report that others read: NATS takes 1 MB."""
_NEVER: Final = float("-inf")

_Asked: Final = TypeAdapter(dict[str, dict[str, View]])
"""Viewer → process → what it is to show; "" stands for all processes that are not named."""


class Viewer:
    """One page that looks. Thread-safe.

    Args:
        tell: called with each report as JSON, in the service's thread.

    Attributes:
        id: no other page has it.
        view: which clients it shows.
        came_at: when it was opened, by the monotonic clock.
    """

    def __init__(self, tell: Callable[[bytes], object]) -> None:
        self.id: str = secrets.token_urlsafe(9)
        self.view: View = View()
        self.tell: Callable[[bytes], object] = tell
        self.came_at: float = time.monotonic()

    def show(self, view: View) -> None:
        """Show these clients, unless it has been told of newer ones."""
        if view.number >= self.view.number:
            self.view = view


class InspectionService:
    """One process's part. Thread-safe."""

    def __init__(self, hub: Hub) -> None:
        self.worker: Worker = Worker(hub)
        self._hub = hub
        self._lock = threading.Lock()
        self._viewers: dict[str, Viewer] = {}
        self._relayed: dict[str, View] = {}  # what pages want that look elsewhere
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hurry: asyncio.Event | None = None
        self._heard_at = 0.0  # when somebody said that somebody looks
        self._said_at = _NEVER
        self._problem: str | None = None
        self._is_ended = False
        hub.when_drained.append(self._end)

    def _end(self) -> None:
        """The server stops: take down what this process has pinned up, before the process ends."""
        self._is_ended = True
        self._report_soon()

    def _report_soon(self) -> None:
        with self._lock:
            if self._loop is not None and self._hurry is not None:
                self._loop.call_soon_threadsafe(self._hurry.set)

    def add(self, viewer: Viewer) -> None:
        """A page looks."""
        with self._lock:
            if not self._viewers:
                self._said_at = _NEVER
            self._viewers[viewer.id] = viewer
        self._start()

    def remove(self, viewer: Viewer) -> None:
        """It looks no more."""
        with self._lock:
            self._viewers.pop(viewer.id, None)

    def show(self, viewer_id: str, view: View) -> bool:
        """Let a page see other clients, also one whose stream another process has; False if there is none."""
        with self._lock:
            viewer = self._viewers.get(viewer_id)
            if viewer is not None:
                viewer.show(view)
            elif self._hub.broker.is_shared:
                self._relayed[viewer_id] = view
            else:
                return False
        self._heard_at = time.monotonic()
        self._start()
        self._report_soon()
        return True

    def hear(self, order: Inspection) -> None:
        """What an inspector says in the log."""
        if order.kind == "disconnect":
            self.worker.disconnect(order.client, stop=order.stop)
        elif order.kind == "look":
            self._heard_at = time.monotonic()
            self._start()

    def disconnect(self, key: str, *, stop: bool) -> bool:
        """End a client, wherever it is; whether it is one of this process's. Raises as `emit`."""
        if self.worker.disconnect(key, stop=stop):
            return True
        if self._hub.broker.is_shared:
            self._hub.inspect(Inspection("disconnect", key, stop))
        return False

    def _start(self) -> None:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._hurry = asyncio.Event()
                threading.Thread(
                    target=self._run, args=(self._loop, self._hurry), name="nitro-inspector", daemon=True
                ).start()

    def _run(self, loop: asyncio.AbstractEventLoop, hurry: asyncio.Event) -> None:
        asyncio.set_event_loop(loop)
        try:
            while self._loop is loop:
                try:
                    loop.run_until_complete(self._work(hurry))
                except Exception:
                    log.exception("a report of the inspector has failed; it is tried again")
                    time.sleep(_AGAIN_SECONDS)
            loop.run_until_complete(end_all())
        finally:
            loop.close()

    async def _work(self, hurry: asyncio.Event) -> None:
        """Report until nobody looks any more."""
        traffic = Traffic(self._hub)
        board: Board | None = None
        reports: list[Mapping[str, Any]] = []
        try:
            while True:
                began = time.thread_time()
                asked: Mapping[str, View] = {}
                others: Sequence[Mapping[str, Any]] = ()
                if self._hub.broker.is_shared:
                    try:
                        async with asyncio.timeout(_ANSWER_SECONDS):
                            if board is None:
                                board = await self._open()
                            asked, others = await self._exchange(board, reports)
                        self._problem = None
                    except Exception as error:  # noqa: BLE001 - a driver's; it is shown
                        self._problem = f"other processes can't be asked: {_why(error)}"
                        if board is not None:
                            await _close(board)
                            board = None
                if self._is_over(asked):
                    return
                viewers = self._all_viewers()
                own = self.worker.report({**asked, **{viewer.id: viewer.view for viewer in viewers}})
                reports = [{**own, "at": time.time()}, *others]
                if board is not None and asked:
                    await self._pin(board, own)
                topics, is_young = traffic.look(), False
                for viewer in viewers:
                    if board is not None and time.monotonic() - viewer.came_at < _GATHERING_SECONDS:
                        is_young = True  # others have only just heard of it
                    else:
                        viewer.tell(to_json(compose(viewer.id, viewer.view, reports, topics, self._problem)))
                await self._pause(hurry, time.thread_time() - began, is_young=is_young)
        finally:
            self.worker.forget()
            if board is not None:
                await _close(board)

    def _is_over(self, asked: Mapping[str, View]) -> bool:
        with self._lock:
            is_wanted = self._viewers or asked or time.monotonic() - self._heard_at < _FRESH_SECONDS
            if is_wanted and not self._is_ended:
                return False
            self._loop = self._hurry = None
            return True

    def _all_viewers(self) -> tuple[Viewer, ...]:
        with self._lock:
            return tuple(self._viewers.values())

    async def _open(self) -> Board:
        settings = broker_settings()
        board = Board(make_store(settings.broker_url.get_secret_value(), settings.namespace))
        await board.open()
        return board

    async def _exchange(
        self, board: Board, reports: Sequence[Mapping[str, Any]]
    ) -> tuple[Mapping[str, View], Sequence[Mapping[str, Any]]]:
        """What others ask of this process; and what they report, if somebody looks here."""
        viewers = self._all_viewers()
        with self._lock:
            relayed, self._relayed = self._relayed, {}
        for viewer_id, view in relayed.items():
            await board.pin("views", viewer_id, to_json(view))
        if viewers:
            views = await board.read("views")
            for viewer in viewers:
                wanted = _view(views[viewer.id].content) if viewer.id in views else None
                if wanted is not None and wanted.number > viewer.view.number:  # it stands there for a while
                    viewer.show(wanted)
            if time.monotonic() - self._said_at > _SAYS_EVERY_SECONDS:
                self._hub.inspect(Inspection("look"))
                self._said_at = time.monotonic()
            asks = {
                each.id: {"": each.view, **windows_of(each.id, each.view, self.worker.id, reports)} for each in viewers
            }
            await board.pin("asks", self.worker.id, to_json(asks))
        asked: dict[str, View] = {}
        for name, notice in (await board.read("asks")).items():
            if name != self.worker.id and notice.age_seconds < _FRESH_SECONDS:
                asked |= _asked(notice.content, self.worker.id)
        if not viewers:
            return asked, ()
        others = []
        for name, notice in (await board.read("reports")).items():
            report = parse_report(notice.content) if name != self.worker.id else None
            if report is not None:
                others.append({**report, "at": notice.seen_at})
        return asked, sorted(others, key=lambda report: (report["host"], report["pid"], report["id"]))

    async def _pin(self, board: Board, own: Mapping[str, Any]) -> None:
        try:
            await board.pin("reports", self.worker.id, _shortened(own))
        except Exception as error:  # noqa: BLE001 - a driver's; the next exchange tells it
            log.debug("the report of this process could not be pinned up: %s", text_of(error))

    async def _pause(self, hurry: asyncio.Event, took: float, *, is_young: bool) -> None:
        seconds = min(max(_PAUSE_SECONDS, took / _SHARE), _LONGEST_PAUSE_SECONDS)
        if not self._is_ended:
            hurry.clear()
            await asyncio.sleep(_HURRY_SECONDS)
        if is_young:
            return
        try:
            async with asyncio.timeout(seconds - _HURRY_SECONDS):
                await hurry.wait()
        except TimeoutError:
            return

    def __repr__(self) -> str:
        return f"<InspectionService of {self.worker!r}: {len(self._viewers)} pages look>"


def _shortened(own: Mapping[str, Any]) -> bytes:
    """A report as JSON; if pages ask for very many rows, with fewer of them."""
    content, most = to_json(own), MOST_ROWS
    while len(content) > _MOST_BYTES and most:
        most //= 2
        views = {name: {**seen, "rows": seen["rows"][:most]} for name, seen in own["views"].items()}
        content = to_json({**own, "views": views})
    return content


def _why(error: Exception) -> str:
    return "there is no answer" if isinstance(error, TimeoutError) else without_echo(str(error)) or type(error).__name__


def _view(content: bytes) -> View | None:
    """What a page wants to see; None if it can't be read: others may write there."""
    try:
        return View.parse(from_json(content))
    except ValueError:
        return None


def _asked(content: bytes, worker: str) -> dict[str, View]:
    """What an inspector wants to see of one process; nothing if it can't be read: others may write there."""
    try:
        asks = _Asked.validate_python(from_json(content))
    except ValueError:
        return {}
    found = {viewer: parts.get(worker, parts.get("")) for viewer, parts in asks.items()}
    return {viewer: view for viewer, view in found.items() if view is not None}


async def _close(board: Board) -> None:
    try:
        await board.close()
    except Exception as error:  # noqa: BLE001 - a driver's; what is left there is taken down by the next who looks
        log.debug("the inspector's connection could not be closed: %s", text_of(error))
