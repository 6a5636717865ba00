"""What is published, built into dist/ and tried before it is; `make dist` runs it.

`python -m tests.release --pythons 3.14` chooses, and fails if that Python isn't here; without it those are tried that
are, and the others are named. It stops at nothing that it can go on after; the exit code is 1 if any step failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.pythons.debian import ROOT
from tests.pythons.places import Place, find, supported
from tests.release import npm_package
from tests.release.bill import check_bill, write_bill
from tests.release.command import run
from tests.release.distributions import (
    Distributions,
    build,
    check_description,
    check_sdist,
    check_wheel,
    extras_of,
    metadata_of,
    unpacked,
)
from tests.release.environment import Environment, environments
from tests.release.links import absolute
from tests.release.report import Report
from tests.release.versions import CHANGELOG, check_headings, headings, in_package_json, in_pyproject, section

DIST = ROOT / "dist"
"""Of one version, made anew: pypi/ and npm/ hold what is uploaded there, sbom/ the bills of materials."""
BIN = Path(sys.executable).parent


def make_distributions(report: Report, version: str) -> Distributions | None:
    """Build the wheel and the sdist, and look into them."""
    built = None
    with report.step("the wheel and the sdist are built"):
        built = build(DIST / "pypi")
    if built is None:
        return None
    with report.step("the sdist builds the same wheel"), unpacked(built.sdist) as source:
        again = build(source / "again", source).wheel
        same = again.name == built.wheel.name and again.read_bytes() == built.wheel.read_bytes()
        assert same, f"{again.name} of the sdist differs from {built.wheel.name} of the checkout"
    with report.step("twine takes them"):
        run(BIN / "twine", "check", "--strict", built.wheel, built.sdist)
    with report.step("check-wheel-contents takes the wheel"):
        run(BIN / "check-wheel-contents", built.wheel)
    with report.step("the wheel has the package and nothing else"):
        check_wheel(built.wheel)
    with report.step("the sdist has all that is in git"):
        check_sdist(built.sdist)
    with report.step("the description has no link that leads nowhere"):
        check_description(metadata_of(built.wheel))
    with report.step("tests run from the sdist"), unpacked(built.sdist) as source:
        paths = ["env", f"PYTHONPATH={source / 'src'}", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        run(*paths, "--collect-only", "tests", cwd=source)
        run(*paths, "tests/test_topics.py", "tests/test_settings_page.py", cwd=source)
    return built


def make_npm_package(report: Report, version: str) -> None:
    """Pack the browser client, look into it, and try it."""
    with npm_package.copied() as sources:
        with report.step("the browser client is packed"):
            sources.pack(DIST / "npm", version)
        file = DIST / f"npm/nitro-realtime-{version}.tgz"
        if not file.exists():
            return
        with report.step("the wheel's browser client is of the same build"):
            sources.check_static()
        with report.step("publint and attw take it"):
            npm_package.check(file)
        with report.step("an empty project installs and imports it, and its types are those of its values"):
            npm_package.check_installed(file, version)
        with report.step("the bill of materials of the browser client is valid"):
            bill = DIST / "sbom/nitro-realtime-npm.cdx.json"
            bill.parent.mkdir(parents=True, exist_ok=True)
            bill.write_text(sources.bill_of_materials())
            check_bill(bill, version, set())


def try_on(report: Report, place: Place, built: Distributions, version: str) -> None:
    """Install the files into empty environments of one Python, with each extra, and run what is in smoke/."""
    with environments(place) as environment:
        for extra in ["", *extras_of(built.wheel)]:
            with report.step(f"Python {place.version}: the wheel{f', with the extra {extra}' if extra else ''}"):
                environment.install(_requirement(built.wheel, extra))
                environment.smoke("imports.py", version, extra)
                if extra == "fastapi":
                    environment.smoke("served.py", ROOT / "README.md")
        with report.step(f"Python {place.version}: the sdist"):
            environment.install(_requirement(built.sdist, "fastapi"))
            environment.smoke("imports.py", version, "fastapi")
            environment.smoke("served.py", ROOT / "README.md")


def make_bills(report: Report, place: Place, built: Distributions, version: str) -> None:
    """Write what comes with the wheel: with no extra, and with all."""
    everything = ",".join(extras_of(built.wheel))
    with environments(place) as environment:
        for extra, name in (("", ""), (everything, "-all-extras")):
            with report.step(f"the bill of materials of the wheel{' with all extras' if extra else ''} is valid"):
                environment.install(_requirement(built.wheel, extra))
                bill = DIST / f"sbom/nitro-realtime-pypi{name}.cdx.json"
                write_bill(environment.python, bill)
                check_bill(bill, version, _others(environment))


def _others(environment: Environment) -> set[str]:
    return {name.lower().replace("_", "-") for name in environment.installed()} - {"nitro-realtime"}


def _requirement(file: Path, extra: str) -> str:
    return f"nitro-realtime{f'[{extra}]' if extra else ''} @ {file.as_uri()}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.release")
    parser.add_argument("--pythons", nargs="+", default=[], metavar="3.14")
    parser.add_argument("--tag", default="", metavar="v1.2.3", help="of the commit: the version has to be the same")
    options = parser.parse_args()
    wanted: list[str] = options.pythons
    report = Report()
    version = in_pyproject()
    shutil.rmtree(DIST, ignore_errors=True)
    with report.step(f"everything says that it is version {version}"):
        assert in_package_json() == version, "js/package.json says another version than pyproject.toml"
        check_headings(headings(CHANGELOG.read_text()), version, options.tag)
    if options.tag:
        with report.step("the changelog has notes for this version"):
            DIST.mkdir()
            (DIST / "notes.md").write_text(absolute(section(CHANGELOG.read_text(), version), "", version))
    with report.step("the workflows are sound"):
        run(BIN / "zizmor", "--offline", "--no-progress", ROOT / ".github", cwd=ROOT)
    built = make_distributions(report, version)
    make_npm_package(report, version)
    if built is not None:
        make_bills(report, Place("", sys.executable), built, version)
        for python in wanted or supported():
            place = find(python, may_make=False)
            if isinstance(place, Place):
                try_on(report, place, built, version)
            elif wanted:
                with report.step(f"Python {python}"):
                    raise AssertionError(place)
            else:
                report.not_run(f"Python {python}", place)
    print("\n== Summary")
    print("\n".join(report.lines()))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
