"""The suite on each Python: which versions are tested, what the least ones are, and what the summary says."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from tests.pythons.least import PYPROJECT, pins
from tests.pythons.newest import differences
from tests.pythons.outcome import Outcome
from tests.pythons.places import Place, find, supported

CASES = """
import pytest
def test_a(): pass
def test_b(): assert False
@pytest.mark.skipif(True, reason="NO MOON: it is day")
@pytest.mark.parametrize("n", range(2))
def test_c(n): pass
@pytest.fixture
def broken(): raise OSError
def test_d(broken): pass
"""


def test_what_is_installed_by_users_is_pinned_to_the_lowest_version_that_is_allowed() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    pinned = pins(project)
    assert {pin.partition("==")[0] for pin in pinned} >= {
        "blinker",
        "starlette",
        "fastapi",
        "redis[hiredis]",
        "asyncpg",
    }
    for pin in pinned:
        name, _, version = pin.partition(";")[0].partition("==")
        allowed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
        assert any(one.startswith(f"{name}>={version}") for one in allowed), pin


def test_a_dependency_without_a_lowest_version_or_with_two_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'b' .*no lowest version"):
        pins({"name": "x", "dependencies": ["a>=1"], "optional-dependencies": {"b": ["b"]}})
    with pytest.raises(ValueError, match=r"both 'a==1' and 'a==2'"):
        pins({"name": "x", "dependencies": ["a>=1"], "optional-dependencies": {"b": ["a>=2"]}})


def test_what_is_newer_or_older_than_in_the_lock_is_named_and_nothing_else() -> None:
    lock = "# a==9\nfast-api==1.9.0\nb==2.0 ; python_version < '3.12'\nb==3.0 ; python_version >= '3.12'\nc==1\nd==2"
    installed = {"Fast_API": "1.10.0", "b": "2.0", "c": "1", "d": "1.9", "a": "1"}
    assert list(differences(lock, installed)) == [
        "OLDER than in development.lock: d 1.9 (2)",
        "newer than in development.lock: fast-api 1.10.0 (1.9.0)",
    ]
    assert list(differences(lock, {"b": "3.1"})) == ["newer than in development.lock: b 3.1 (2.0, 3.0)"]


def test_this_python_is_one_of_those_that_are_supported_and_is_found_by_its_version() -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert here in supported()
    place = find(here)
    assert isinstance(place, Place)
    assert place.version == here


def test_the_summary_names_what_failed_and_why_others_were_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(CASES)
    results = tmp_path / "results.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
        f"--junitxml={results}",
    ]
    subprocess.run([*command, "test_it.py"], cwd=tmp_path, stdout=subprocess.DEVNULL, timeout=60)
    outcome = Outcome("3.99")
    outcome.without.append("moon>=1")
    outcome.differences.append("newer than in development.lock: sun 2 (1)")
    outcome.add(results)
    assert not outcome.is_good
    first, *rest = outcome.lines()
    assert first == "FAILED  Python 3.99: 1 passed, 2 failed, 2 skipped, 0 minutes"
    assert [line.strip() for line in rest] == [
        "failed: test_it::test_b",
        "failed: test_it::test_d",
        "NOT INSTALLED, and its tests skipped: moon>=1",
        "newer than in development.lock: sun 2 (1)",
        "SKIPPED 2: NO MOON: it is day",
    ]


def test_a_run_in_which_no_test_passed_is_not_good() -> None:
    assert not Outcome("3.99").is_good


def test_a_test_that_starts_a_program_is_marked_and_another_is_not(request: pytest.FixtureRequest) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)
    marked = {item.name: item.get_closest_marker("server") is not None for item in request.session.items}
    assert marked[request.node.name]
    assert not marked.get(test_a_run_in_which_no_test_passed_is_not_good.__name__, False)
