"""What docs/supported.md says is supported is what pyproject.toml, the workflows, the tests and the code say."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from nitro.brokers.nats import log as nats
from nitro.brokers.redis import log as redis
from tests.brokers import BROKERS
from tests.engines import ENGINES
from tests.pythons.debian import ROOT
from tests.pythons.least import PYPROJECT
from tests.pythons.places import supported

[FILE] = (ROOT / "docs").rglob("supported.md")
WORKFLOWS = ROOT / ".github/workflows"
PROJECT = tomllib.loads(PYPROJECT.read_text())["project"]


def table(heading: str) -> dict[str, list[str]]:
    """The rows below a heading: what the first column says, and the other columns."""
    part = FILE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    assert len(rows) > 2, f"{FILE.name} has no table below {heading}"
    return {first: rest for first, *rest in rows[2:]}


def test_the_pythons_are_those_of_pyproject_and_of_the_workflows() -> None:
    [versions, _] = table("Pythons and systems")["CPython"]
    assert versions.split(", ") == supported()
    ci, release = ((WORKFLOWS / name).read_text() for name in ("ci.yml", "release.yml"))
    [matrix] = re.findall(r"^ +python: (\[.*\])$", ci, re.MULTILINE)
    assert json.loads(matrix) == supported()
    assert re.findall(r"^ +- target: (\S+)\n +python: \"(.*)\"$", ci, re.MULTILINE) == [
        ("test-least", supported()[0]),
        ("test-newest", supported()[-1]),
        ("test-engines", supported()[0]),
    ]
    [installed] = re.findall(r"python-version: \|\n((?: +3\.\d+\n)+)", release)
    assert installed.split() == supported()[::-1], "the last of them is the one that runs `make`"
    [tried] = re.findall(r'PYTHONS="([\d. ]+)"', release)
    assert tried.split() == supported()


def test_every_python_is_one_that_can_be_installed() -> None:
    assert PROJECT["requires-python"] == f">={supported()[0]}"


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    said = {name.lower(): columns[0] for name, columns in table("What Nitro is built on").items()}
    requirements = PROJECT["dependencies"] + [
        one for extra in PROJECT["optional-dependencies"].values() for one in extra
    ]
    lowest = dict(re.findall(r"^([\w-]+)(?:\[.*\])?>=([\w.]+)", "\n".join(requirements), re.MULTILINE))
    assert {name: lowest[name] for name in said} == said
    assert {"starlette", "pydantic", "sqlmodel", "fastapi", "uvicorn"} <= said.keys()


def test_each_broker_and_browser_of_the_tests_has_a_row_and_the_versions_that_are_refused() -> None:
    brokers = table("Brokers and databases")
    assert [name.split()[0].strip(",").lower() for name in brokers] == list(BROKERS)
    below = {name.split()[0].strip(","): columns[1] for name, columns in brokers.items() if columns[1]}
    assert below == {
        "Redis": ".".join(map(str, redis._OLDEST_SERVER)),
        "NATS": ".".join(map(str, nats._OLDEST_SERVER)),
    }
    browsers = " ".join(table("Browsers")).lower()
    assert all(name in browsers for name in ENGINES)


@pytest.mark.parametrize("page", ["supported.md", "releases.md"])
def test_each_job_and_test_that_a_page_names_is_there(page: str) -> None:
    [file] = (ROOT / "docs").rglob(page)
    text = file.read_text()
    jobs = set(re.findall(r"`make ([\w-]+)`", text))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert jobs <= targets, f"{page} names {jobs - targets}"
    tests = set(re.findall(r"\btest_\w+\.py", text))
    assert tests
    assert {name for name in tests if not (ROOT / "tests" / name).is_file()} == set()
    functions = set(re.findall(r"`(test_\w+)`", text))
    sources = "".join(path.read_text() for path in Path(ROOT / "src/nitro/testing/conformance").glob("*.py"))
    assert {name for name in functions if f"def {name}(" not in sources} == set()


def test_the_jobs_of_the_workflow_are_those_of_the_page() -> None:
    part = FILE.read_text().partition("| job |")[2].partition("\n## ")[0]
    jobs = re.findall(r"^\| `make ([\w-]+)` \|", part, re.MULTILINE)
    ci = (WORKFLOWS / "ci.yml").read_text()
    run = {"test", *re.findall(r"make (test-[\w-]+)$|target: ([\w-]+)$", ci, re.MULTILINE)}
    assert ".ci/run" in ci
    assert "make test\n" in (ROOT / ".ci/run").read_text()
    assert {"".join(name) for name in run} | {"dist"} == set(jobs)
