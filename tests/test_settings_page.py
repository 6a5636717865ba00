"""The tables of docs/reference/settings.md list every setting once, with the default that it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from nitro.errors import ConfigurationError
from nitro.settings import Settings, get_settings
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


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], object]]:
    """What a setting is with a variable, or what is said of it."""

    def read(name: str, value: str) -> object:
        get_settings.cache_clear()
        with monkeypatch.context() as context:
            context.setenv(f"NITRO_{name.upper()}", value)
            try:
                return getattr(get_settings(), name)
            except ConfigurationError as error:
                return str(error)

    yield read
    get_settings.cache_clear()


OPTIONAL = {
    "max_stream_seconds",
    *("max_clients", "max_clients_per_user", "max_clients_per_address"),
    *("max_connects_per_second", "max_connects_per_second_per_user", "max_connects_per_second_per_address"),
    *("max_topics", "max_topics_per_user", "max_topics_per_address", "max_wildcards"),
}


def test_none_turns_off_the_limits_that_may_be_none_and_a_variable_without_a_value_those_that_are_none(
    told: Callable[[str, str], object],
) -> None:
    numbers = [name for name, field in Settings.model_fields.items() if not isinstance(field.default, str | SecretStr)]
    assert {name for name in numbers if told(name, "none") is None} == OPTIONAL
    assert told("max_clients", " None ") is None
    assert told("namespace", "none") == "none"
    for name in numbers:
        empty = told(name, "")
        assert (
            empty is None
            if Settings.model_fields[name].default is None
            else f"NITRO_{name.upper()} is ''" in str(empty)
        )
    assert str(told("max_clients", "")).endswith(". For no limit write none")
    assert str(told("max_clients", "unlimited")).endswith(". For no limit write none")
    assert "none" not in str(told("history_messages", "all"))


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e10", "1e300"])
def test_a_number_that_is_not_finite_or_that_no_timer_takes_is_refused_where_it_is_set(
    value: str, told: Callable[[str, str], object]
) -> None:
    for name in Settings.model_fields:
        if name.endswith(("_seconds", "_per_second", "_per_user", "_per_address")):
            assert f"NITRO_{name.upper()} is '{value}': Input should be " in str(told(name, value))
    assert "less than or equal to 1000000000" in str(told("heartbeat_seconds", "inf"))


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
