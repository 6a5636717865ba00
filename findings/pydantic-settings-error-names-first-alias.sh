#!/usr/bin/env bash
# pydantic-settings 2.16.3: an error names the first of a field's aliases, though the value was read by another one.
# Expected: where AliasChoices("NEW_NAME", "OLD_NAME") is read from OLD_NAME alone, an error about its value names OLD_NAME.
# Seen: it is located at NEW_NAME, a variable that is not set.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check pydantic-settings==2.16.3 pydantic==2.14.4
OLD_NAME=many "$dir/venv/bin/python" - <<'PY'
from importlib.metadata import version

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    size: int = Field(1, validation_alias=AliasChoices("NEW_NAME", "OLD_NAME"))


try:
    Settings()
except ValidationError as error:
    found = [(each["loc"], each["input"]) for each in error.errors()]
print(f"pydantic-settings {version('pydantic-settings')}: OLD_NAME was set, and the error is at {found}")
raise SystemExit(found != [(("NEW_NAME",), "many")])
PY
