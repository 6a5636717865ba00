#!/usr/bin/env bash
# pydantic 2.12.0: with `ser_json_timedelta="float"`, a date inside an Any is written as seconds.
# Expected (the option's name and documentation speak of timedelta): the same text for the date of a field and for an equal
# one in an Any beside it.
# Seen: {"d":"2026-01-02","m":1767312000.0}. With 2.14.4 both are "2026-01-02", so what a model sends depends on its release.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > try.py <<'PYTHON'
import sys
from datetime import date
from typing import Any

from pydantic import VERSION, BaseModel, ConfigDict


class Lease(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")
    d: date
    m: Any


written = Lease(d=date(2026, 1, 2), m=date(2026, 1, 2)).model_dump_json()
print(VERSION, written)
sys.exit(written != sys.argv[1])
PYTHON
for version in 2.12.0 2.14.4; do
  python3 -m venv "$version"
  "$version/bin/pip" install --quiet "pydantic==$version"
done
2.12.0/bin/python try.py '{"d":"2026-01-02","m":1767312000.0}'
2.14.4/bin/python try.py '{"d":"2026-01-02","m":"2026-01-02"}'
