"""The benchmark of live queries still runs, in small; what it measures then is no claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import figures


def test_a_change_reaches_the_clients_concerned_among_few_and_many(tmp_path: Path) -> None:
    found = figures(
        "live_queries", "change", tmp_path / "figures.json", "--clients", "20", "--most", "40", "--changes", "3"
    )
    assert [each["case"] for each in found] == [
        "equality, 1 of 10",
        "equality, 1 of 20",
        "equality, 1 of 40",
        "range, 1 of 20",
        "range, 10 of 20",
        "range, 20 of 20",
    ]
    assert all(0 < each["µs"] <= each["p99 µs"] for each in found)


def test_clients_that_open_a_query_at_once_get_what_is_read_once(tmp_path: Path) -> None:
    live, events, prepared = figures(
        "live_queries", "open", tmp_path / "figures.json", "--clients", "5", "--rows", "30"
    )
    assert [each["SELECTs"] for each in (live, events, prepared)] == [1, 0, 0]
    assert live["received MB"] > 5 * 30 * 100 / 1e6
    assert live["received MB"] / prepared["received MB"] < 1.3


@pytest.mark.timed  # a server that gets no processor for the second that is measured has used none
def test_clients_with_live_queries_and_clients_that_poll_hear_of_each_change(tmp_path: Path) -> None:
    brief = ("--clients", "4", "--writes", "5", "--seconds", "0.8")
    found = figures("live_queries", "polling", tmp_path / "figures.json", *brief)
    assert [each["heard"] for each in found] == [4, 4, 16, 16]
    assert [each["missed"] for each in found] == [0, 0, 0, 0]
    assert [each["CPU s/s"] for each in found if each["CPU s/s"] <= 0] == []
