"""Sight: what one page gets, put together of what all processes report. Pure: the reports are given."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from nitro.inspection.rows import SLOWEST
from nitro.inspection.view import View, Window

__all__ = ["compose", "parse_report", "windows_of"]

Report = Mapping[str, Any]
"""What one process tells of itself; see `Worker.report`."""


def parse_report(content: bytes) -> Report | None:
    """What a process has pinned up; None if it is no report, since others may write there."""
    try:
        report = from_json(content)
        _Report.model_validate(report)
    except (ValueError, TypeError):  # pydantic's are ValueErrors
        return None
    else:
        return report  # type: ignore[no-any-return]


class _Row(BaseModel):
    key: str
    worker: str
    user: str | None
    is_cut: bool
    address: str | None
    topics: list[str]
    more_topics: int
    mutes: int
    rights: list[str] | None
    more_rights: int = 0
    query: str | None
    waiting: tuple[int, int]
    since: float
    way: str
    state: str


class _Seen(BaseModel):
    of: tuple[str, str, bool]
    matching: int
    first: int
    rows: list[_Row]


class _Counters(BaseModel):
    published: int
    published_bytes: int
    delivered: int
    delivered_bytes: int
    connects: int
    resumes: dict[str, int]
    gaps: dict[str, int]
    dropped: dict[str, int]
    refused: dict[str, int]
    disconnects: dict[str, int]


class _Lag(BaseModel):
    bounds: list[float]
    counts: list[int]


class _Broker(BaseModel):
    name: str
    is_shared: bool
    gone_seconds: float
    why_gone: str
    refused: str
    lag_messages: int
    unacknowledged: int
    skipped: int


class _Log(BaseModel):
    head: str
    messages: int
    bytes: int
    seconds: float


class _Waiting(BaseModel):
    messages: int
    bytes: int


class _Report(BaseModel):
    id: str
    host: str
    pid: int
    since: float
    is_draining: bool
    clients: int
    users: int
    direct: int
    loops: int
    loop_lag_seconds: float
    counters: _Counters
    lag: _Lag
    broker: _Broker
    log: _Log
    waiting: _Waiting
    slowest: list[_Row]
    views: dict[str, _Seen]


def windows_of(viewer: str, view: View, own: str, reports: Sequence[Report]) -> dict[str, View]:
    """Which part of the clients of each process a view shows: the list has them one process after the other, those of
    `own`, which answers the page, first.

    A process that has not said yet how many there are shows its first ones.
    """
    first, count = view.window
    parts: dict[str, View] = {own: view}
    begin = 0
    for report in reports:
        seen = _seen(report, viewer, view)
        start, end = 0, count
        if seen is not None:
            start, end = max(0, first - begin), max(0, first + count - begin)
            begin += seen["matching"]
        if report["id"] != own:
            parts[report["id"]] = view._replace(window=Window(start, end - start))
    return parts


def _seen(report: Report, viewer: str, view: View) -> Mapping[str, Any] | None:
    """What a process shows of this view; None if it has not heard of it yet."""
    seen: Mapping[str, Any] | None = report["views"].get(viewer)
    return seen if seen is not None and tuple(seen["of"]) == view[:3] else None


def compose(
    viewer: str, view: View, reports: Sequence[Report], topics: Mapping[str, Any], problem: str | None
) -> dict[str, Any]:
    """What the page shows now."""
    first, count = view.window
    rows: list[Any] = [None] * count
    begin = total = 0
    slowest = [row for report in reports for row in report["slowest"]]
    for report in reports:
        total += report["clients"]
        seen = _seen(report, viewer, view)
        if seen is None:
            continue
        for place, row in enumerate(seen["rows"], begin + seen["first"] - first):
            if 0 <= place < count:
                rows[place] = row
        begin += seen["matching"]
    return {
        "at": time.time(),
        "problem": problem,
        "workers": [
            {name: value for name, value in report.items() if name not in ("views", "slowest")} for report in reports
        ],
        "topics": topics,
        "clients": {
            "total": total,
            "matching": begin,
            "from": first,
            "rows": rows[: max(0, min(count, begin - first))],
            "slowest": sorted(slowest, key=lambda row: row["waiting"][1], reverse=True)[:SLOWEST],
        },
    }
