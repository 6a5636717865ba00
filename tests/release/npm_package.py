"""The browser client as npm gets it: packed of a copy of js/, installed into an empty folder, and imported there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.pythons.debian import ROOT
from tests.release.command import run
from tests.release.links import absolute, relative_links_in

__all__ = ["Sources", "check", "check_installed", "copied"]

_JS = ROOT / "js"
_BIN = ROOT / "tests/npm/node_modules/.bin"
_NAME = "nitro-realtime"
_BUILT = shutil.ignore_patterns("node_modules", "dist", "types", "LICENSE")
_IN_NODE = ("", "/collection", "/follow")
"""What can be imported where there is no browser; the worker's script runs in one alone."""
_STRICT = {"module": "node16", "moduleResolution": "node16", "target": "es2022", "strict": True, "noEmit": True}
_KEYS = "console.log(JSON.stringify(Object.keys(await import(process.argv[1]))))"


class Sources:
    """A copy of js/, which `npm pack` may build in.

    Attributes:
        static: where the copy's build puts what the wheel serves.
    """

    def __init__(self, top: Path) -> None:
        self._folder = top / _NAME
        self.static = top / "src/nitro/static"
        self.static.mkdir(parents=True)
        shutil.copytree(_JS, self._folder, ignore=_BUILT)
        shutil.copy(ROOT / "LICENSE", top)
        (self._folder / "node_modules").symlink_to(_JS / "node_modules")

    def pack(self, into: Path, version: str) -> Path:
        """The file for npm. Its README leads to the repository, since nothing of that lies beside it."""
        into.mkdir(parents=True, exist_ok=True)
        readme = self._folder / "README.md"
        readme.write_text(absolute(readme.read_text(), "js", version))
        relative = relative_links_in(readme.read_text())
        assert not relative, f"relative links in js/README.md lead nowhere on npm: {relative}"
        run("npm", "pack", "--pack-destination", into, cwd=self._folder)
        return into / f"{_NAME}-{version}.tgz"

    def check_static(self) -> None:
        """What the wheel serves is of the same build.

        Raises:
            AssertionError: it isn't.
        """
        committed = ROOT / "src/nitro/static"
        names = {file.name for file in committed.iterdir()}
        differ = {file.name for file in self.static.iterdir()} ^ names
        assert not differ, f"the build makes other files for the wheel: {sorted(differ)}"
        for name in names:
            same = (committed / name).read_bytes() == (self.static / name).read_bytes()
            assert same, f"src/nitro/static/{name} is of another build: make client"

    def bill_of_materials(self) -> str:
        """What it is made of, as CycloneDX: itself, and what it depends on."""
        options = ["--sbom-format", "cyclonedx", "--omit", "dev", "--package-lock-only"]
        return run("npm", "sbom", *options, cwd=self._folder)


@contextmanager
def copied() -> Iterator[Sources]:
    with TemporaryDirectory(prefix="nitro-release-") as top:
        yield Sources(Path(top))


def check(file: Path) -> None:
    """As those see it who publish it, and those whose TypeScript looks for its types."""
    run(_BIN / "publint", "run", "--strict", file, cwd=file.parent)
    run(_BIN / "attw", "--profile", "esm-only", file, cwd=file.parent)


def check_installed(file: Path, version: str) -> None:
    """Installed into an empty folder it can be imported in Node, and has the values that its types say.

    Raises:
        AssertionError: something is missing, or is another version.
        CommandFailed: it can't be installed or imported, or the types and the values differ.
    """
    with TemporaryDirectory(prefix="nitro-release-") as top:
        project = Path(top)
        (project / "package.json").write_text('{ "private": true, "type": "module" }')
        run("npm", "install", "--no-audit", "--no-fund", file, cwd=project)
        installed = project / "node_modules" / _NAME
        package: dict[str, Any] = json.loads((installed / "package.json").read_text())
        assert package["version"] == version, f"package.json says that it is {package['version']}"
        exported = {path.removeprefix(".") for path in package["exports"]}
        assert exported == {*_IN_NODE, "/worker"}, f"it exports {sorted(exported)}, which are not all tried"
        (project / "types.ts").write_text("\n".join(_same_names(project, path) for path in _IN_NODE))
        (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": _STRICT, "files": ["types.ts"]}))
        run(_JS / "node_modules/.bin/tsc", "-p", project, cwd=project)


def _same_names(project: Path, path: str) -> str:
    """TypeScript that only compiles if the types of a module name the values that Node has found in it."""
    names = json.loads(run("node", "--input-type=module", "-e", _KEYS, _NAME + path, cwd=project))
    assert names, f"{_NAME}{path} exports nothing"
    its = re.sub(r"\W", "_", f"its{path}")
    values = ", ".join(f"{name}: true" for name in names)
    said = f"export const {its}_values: Record<keyof typeof {its}, true> = {{ {values} }};"
    return f'import * as {its} from "{_NAME}{path}"; {said}'
