"""The tables of docs/reference/settings.md list every setting once, with the default that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from nitro.settings import Settings
from tests.servers import ROOT

PAGE = (ROOT / "docs/reference/settings.md").read_text()
ROWS = re.findall(r"^\| `NITRO_([A-Z_]+)` \| (.+?) \| (.*?) ?\| (.+) \|$", PAGE, re.MULTILINE)
"""Name, default, unit, meaning."""


def shown(default: object) -> str:
    """A default as the page writes it."""
    match default:
        case None:
            return "none"
        case bool():
            return str(default).lower()
        case SecretStr():
            return f"`{default.get_secret_value()}`"
        case str():
            return f"`{default}`"
        case int() | float() if default >= 2**20 and default % 2**20 == 0:
            return f"{default // 2**20} MiB"
        case int() | float():
            return f"{default:,g}" if default < 10**6 else f"{default:,}"
    raise AssertionError(f"the page has no way to write {default!r}")


def test_each_setting_is_listed_once() -> None:
    assert sorted(name for name, *_ in ROWS) == sorted(name.upper() for name in Settings.model_fields)


def test_each_default_is_the_one_of_the_settings() -> None:
    defaults = {name.upper(): shown(field.default) for name, field in Settings.model_fields.items()}
    assert {name: default for name, default, *_ in ROWS} == defaults


def test_a_file_of_variables_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("NITRO_NAMESPACE=of_the_file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NITRO_NAMESPACE", raising=False)
    assert Settings().namespace == "nitro"


def test_each_unit_is_that_of_the_name() -> None:
    units = {
        "BYTES": "bytes",
        "SECONDS": "seconds",
        "MILLISECONDS": "milliseconds",
        "MESSAGES": "messages",
        "URL": "URL",
    }
    for name, _, unit, _ in ROWS:
        assert unit == units.get(name.rpartition("_")[2], unit), name
