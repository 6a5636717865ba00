"""The order of the suite: files that take long begin first, so that at its end no process works alone for minutes.

pytest-xdist gives each process a file at a time. Seconds are those of a quiet machine with two cores; roughly right is
enough; a file that isn't named takes little.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["seconds_of"]

_SECONDS = {
    "test_nemesis": 180,
    "test_frontends": 170,
    "test_rooms_in_trouble": 105,
    "test_broker_faults": 105,
    "test_inspector_in_browser": 95,
    "test_inspector": 90,
    "test_runs": 90,
    "test_browser_users": 90,
    "test_browser_client": 90,
    "test_rooms": 85,
    "test_live_rendered": 85,
    "test_browser_package": 85,
    "test_browser_follow": 80,
    "test_durable_streams": 75,
    "test_direct": 70,
    "test_browser_collection": 60,
    "test_endings_by_server": 55,
    "test_doctor": 55,
    "test_example_applications": 55,
    "test_live_convergence": 55,
    "test_many_processes": 55,
    "test_workers": 50,
    "test_brokers": 50,
    "test_run_faults": 50,
    "test_command_line": 50,
    "test_screenshots": 45,
    "test_tutorial": 45,
    "test_proxies": 40,
    "test_wsgi_in_docs": 40,
    "test_site": 40,
    "test_postgres_log": 40,
    "test_endings_by_receive": 40,
    "test_bench": 40,
    "test_refused_brokers": 40,
    "test_live_queries_convergence": 35,
    "test_browser_life": 35,
    "test_browser_presence": 35,
    "test_listening": 35,
    "test_cost": 30,
    "test_nats_servers": 30,
}


def seconds_of(file: Path) -> int:
    """About how long the tests of a file take."""
    return _SECONDS.get(file.stem, 0)
