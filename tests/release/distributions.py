"""The wheel and the sdist: how they are built, and what has to be in them and what must not."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.pythons.debian import ROOT
from tests.release.command import run
from tests.release.links import code_in, file_in_the_repository, links_in, relative_links_in

__all__ = [
    "Distributions",
    "build",
    "check_description",
    "check_sdist",
    "check_wheel",
    "extras_of",
    "is_in_git",
    "metadata_of",
    "unpacked",
]


@dataclass(frozen=True, slots=True)
class Distributions:
    """The two files."""

    wheel: Path
    sdist: Path


def build(into: Path, source: Path = ROOT, *, has_network: bool = True) -> Distributions:
    """Build both from a folder: with network as anybody would, without by the hatchling of this environment."""
    into.mkdir(parents=True, exist_ok=True)
    if has_network:
        run(sys.executable, "-m", "build", "--installer", "uv", "--sdist", "--wheel", "--outdir", into, source)
    else:
        run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", into, cwd=source)
    [wheel], [sdist] = into.glob("*.whl"), into.glob("*.tar.gz")
    return Distributions(wheel, sdist)


@contextmanager
def unpacked(sdist: Path) -> Iterator[Path]:
    """The folder of the sources in an sdist, until the block ends."""
    with TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder) / sdist.name.removesuffix(".tar.gz")


def metadata_of(wheel: Path) -> Message:
    """The fields of METADATA; its payload is the description."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def extras_of(wheel: Path) -> list[str]:
    """The names of the extras."""
    return metadata_of(wheel).get_all("Provides-Extra", [])


def check_wheel(wheel: Path) -> None:
    """Nothing but the package, and all of it that is in git.

    Raises:
        AssertionError: something is missing, or is too much.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    info = next(name for name in names if name.endswith(".dist-info/METADATA")).partition("/")[0]
    about = {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    package = {name.removeprefix("src/") for name in _in_git() if name.startswith("src/")}
    _compare(names, package | about, "the wheel")
    needed = {"nitro/py.typed", "nitro/static/client.js", "nitro/static/client.d.ts"}
    assert needed <= names, f"the wheel lacks {sorted(needed - names)}"


def check_sdist(sdist: Path) -> None:
    """All that is in git, so that the tests can run from it.

    Raises:
        AssertionError: something is missing, or is too much.
    """
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.removeprefix(f"{top}/") for member in archive if member.isfile()}
    _compare(names - {"PKG-INFO"}, _in_git(), "the sdist")


def check_description(metadata: Message, readme: str | None = None) -> None:
    """README.md as PyPI shows it: each link leads somewhere from there, and the code is as it was.

    Raises:
        AssertionError: a link is relative, leads to a file that isn't there, or code was changed.
    """
    payload = metadata.get_payload(decode=True)
    assert isinstance(payload, bytes), "there is no description"
    description = payload.decode()
    kind = metadata["Description-Content-Type"]
    assert kind == "text/markdown", f"the description is {kind}"
    readme = readme or (ROOT / "README.md").read_text()
    assert code_in(description) == code_in(readme), "the substitutions in pyproject.toml change code"
    lost = len(links_in(readme)) - len(links_in(description))
    assert lost == 0, f"{lost} links of README.md are none in the description"
    relative = relative_links_in(description)
    assert not relative, f"relative links lead nowhere on PyPI: {relative}"
    files = [file_in_the_repository(link, metadata["Version"]) for link in links_in(description)]
    assert any(files), "no link leads to the repository: the substitutions in pyproject.toml and tests/release differ"
    missing = [file for file in files if file and not (ROOT / file).exists()]
    assert not missing, f"README.md links to what is not there: {missing}"


def _in_git() -> set[str]:
    """What is in git, or is to be: files that nothing ignores and that exist."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def _compare(found: set[str], wanted: set[str], what: str) -> None:
    missing, too_much = sorted(wanted - found), sorted(found - wanted)
    assert not missing, f"{what} lacks {', '.join(missing[:10])} (of {len(missing)}); see pyproject.toml"
    assert not too_much, f"{what} has {', '.join(too_much[:10])} (of {len(too_much)}), which git has not"


def is_in_git() -> bool:
    """Whether this is a checkout, and not an unpacked sdist."""
    asked = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=ROOT, capture_output=True, text=True)
    return asked.returncode == 0 and Path(asked.stdout.strip()) == ROOT
