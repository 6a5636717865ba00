"""The benchmark of runs still runs, in small; what it measures then is no claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import figures


@pytest.mark.parametrize(("what", "options"), [("at-once", ("--items", "20")), ("paced", ("--rate", "500"))])
def test_each_reader_gets_all_items(tmp_path: Path, what: str, options: tuple[str, ...]) -> None:
    found = figures("runs", what, tmp_path / "figures.json", "--runs", "5", "--seconds", "1", *options)
    assert len(found) == (4 if what == "at-once" else 2)
    for each in found:
        assert each["missed"] == 0
        assert each["items/s"] > 0
        assert 0 < each["p50 ms"] <= each["p99 ms"]
