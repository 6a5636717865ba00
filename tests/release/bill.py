"""Bills of materials (SBOM): what is installed with the wheel, and with the browser client, as CycloneDX in JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.pythons.debian import ROOT
from tests.release.command import run

__all__ = ["check_bill", "write_bill"]


def write_bill(python: str, file: Path) -> None:
    """Write what an environment has in which only the wheel was installed, with what it brings."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tool = Path(sys.executable).with_name("cyclonedx-py")
    about = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library"]
    run(tool, "environment", *about, "--output-reproducible", "--output-format", "JSON", "-o", file, python)


def check_bill(file: Path, version: str, wanted: set[str]) -> None:
    """It is valid, is that of this version, and has exactly the packages that are `wanted`.

    Raises:
        AssertionError: it hasn't, isn't, or tells a folder of the machine that has built it.
    """
    text = file.read_text()
    bill: dict[str, Any] = json.loads(text)
    invalid = JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(text)
    assert invalid is None, f"{file.name}: {invalid}"
    about = bill["metadata"]["component"]
    assert (about["name"], about["version"]) == ("nitro-realtime", version)
    found = {one["name"].lower().replace("_", "-") for one in bill["components"]}
    assert found == wanted, f"{file.name} differs in {sorted(found ^ wanted)}"
    for place in ("file://", str(ROOT)):
        assert place not in text, f"{file.name} tells a place on this machine: {place}"
