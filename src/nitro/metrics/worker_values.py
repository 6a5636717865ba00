"""The worker values: this process's metrics in the files by which several workers answer as one.

prometheus-client keeps the values of its own metrics in files of `PROMETHEUS_MULTIPROC_DIR`, one set for each process,
and adds them up when any of them is scraped. It leaves collectors out, so this writes what the collector would say into
those files: at intervals, since only one worker is scraped, before this one answers, and when the process ends.
"""

from __future__ import annotations

import atexit
import glob
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import mark_process_dead

from nitro.metrics.families import FAMILIES

__all__ = ["WorkerValues", "forget_dead_workers", "is_multiprocess", "shared_directory"]

log: Final = logging.getLogger("nitro.metrics")

_INTERVAL_SECONDS: Final = 2.0
_MODES: Final = {family.name: family.mode for family in FAMILIES if family.kind == "gauge"}
_LIVE_GAUGE: Final = re.compile(r"gauge_live[a-z]*_(\d+)\.db")

_Key = tuple[str, tuple[tuple[str, str], ...]]


def is_multiprocess() -> bool:
    """Whether prometheus-client keeps its values in files; it decides so when it is imported."""
    return bool(getattr(values.ValueClass, "_multiprocess", False))


def shared_directory() -> Path:
    """The directory of the files; it may be missing."""
    return Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))


class WorkerValues:
    """Belongs to one process; a forked child begins anew.

    Args:
        read: reads the metrics; nothing if there are none in this process. It is called in a thread.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read
        self._lock = threading.RLock()
        self._values: dict[_Key, tuple[Any, float]] = {}
        self._thread: threading.Thread | None = None
        if hasattr(os, "register_at_fork"):  # not while this or prometheus-client's lock is held
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._start_anew
            )
        atexit.register(self.write)

    def start(self) -> None:
        """Write at intervals from now on. Called when this process has metrics, which a server's master never has."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nitro-metrics", daemon=True)
            self._thread.start()

    def write(self, read: Callable[[], Iterable[Metric]] | None = None) -> None:
        """Write what `read` returns now; by default what is read at intervals."""
        with self._lock:
            for metric in (read or self._read)():
                for name, labels, number in _samples_of(metric):
                    self._set(metric, name, labels, number)

    def _set(self, metric: Metric, name: str, labels: dict[str, str], number: float) -> None:
        key = (name, tuple(labels.items()))
        if key not in self._values:
            mode = _MODES.get(metric.name, "")
            place = (metric.type, metric.name, name, tuple(labels), tuple(labels.values()), metric.documentation)
            value = values.ValueClass(*place, multiprocess_mode=mode)
            # A dead worker may have had this process's number: what it counted stays counted.
            self._values[key] = value, 0.0 if mode else value.get()
        value, before = self._values[key]
        value.set(before + number)

    def _run(self) -> None:
        pause = threading.Event()
        has_failed = False
        while not pause.wait(_INTERVAL_SECONDS):
            try:
                self.write()
            except Exception:
                if not has_failed:
                    log.exception("the metrics of this worker can't be written; it is tried on, without a message")
                has_failed = True
            else:
                has_failed = False

    def _start_anew(self) -> None:
        self._lock.release()
        self._values = {}
        self._thread = None

    def __repr__(self) -> str:
        return f"<WorkerValues: {len(self._values)} in {shared_directory()}>"


def forget_dead_workers() -> None:
    """Remove the gauges of processes that are gone, as gunicorn's hook `child_exit` does if it is set up."""
    found = {
        int(match[1])
        for path in glob.glob("gauge_live*.db", root_dir=shared_directory())
        if (match := _LIVE_GAUGE.fullmatch(path))
    }
    if os.getpid() not in found or sys.platform == "win32":
        return  # the numbers in the names are no process ids, or can't be looked up
    for pid in found:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        except PermissionError:  # it lives, and is another user's
            continue


def _samples_of(metric: Metric) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples as the files have them: the buckets of a histogram are not added up, and its count is not there."""
    below = 0.0
    for sample in metric.samples:
        if sample.name.endswith("_bucket"):
            yield sample.name, sample.labels, sample.value - below
            below = sample.value
        elif metric.type != "histogram" or not sample.name.endswith("_count"):
            yield sample.name, sample.labels, sample.value
