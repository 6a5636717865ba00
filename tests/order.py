"""The order of the suite: files that take long begin first, so that at its end no process works alone for minutes.

pytest-xdist gives each process a file at a time. Seconds are those of a quiet machine with two cores; roughly right is
enough; a file that isn't named takes little.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["seconds_of"]

_SECONDS = {
    "test_nemesis": 180,
    "test_rooms_in_trouble": 100,
    "test_inspector_in_browser": 80,
    "test_inspector": 70,
    "test_filtering_on_databases": 70,
    "test_screenshots": 70,
    "test_live_queries_convergence": 60,
    "test_benchmark_live_queries": 60,
    "test_durable_streams": 60,
    "test_cost": 50,
    "test_run_faults": 50,
    "test_runs": 45,
    "test_command_line": 45,
    "test_example_applications": 45,
    "test_nats_servers": 40,
    "test_serve": 30,
    "test_serve_around": 30,
    "test_live_killed": 30,
    "test_churn": 30,
    "test_doctor": 30,
    "test_tutorial": 30,
}


def seconds_of(file: Path) -> int:
    """About how long the tests of a file take."""
    return _SECONDS.get(file.stem, 0)
