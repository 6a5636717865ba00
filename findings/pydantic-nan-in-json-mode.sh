#!/usr/bin/env bash
# pydantic 2.14.4: what becomes of NaN in dump_python(mode="json") depends on how the type is written, not on the value.
# Expected: one answer for one value, None or nan, since dump_json() writes null for both.
# Seen: nan where the type is known to be a float, None where it is Any. So a check for NaN in what dump_python(mode="json") gives
# finds those of declared floats, and misses those of Any.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.4
"$dir/venv/bin/python" -W error - <<'PY'
import math
from typing import Any

import pydantic
from pydantic import TypeAdapter

value = {"price": math.nan}
of_float, of_any = TypeAdapter(dict[str, float]), TypeAdapter(dict[str, Any])
found = [each.dump_python(value, mode="json")["price"] for each in (of_float, of_any)]
texts = [each.dump_json(value) for each in (of_float, of_any)]
print(f"pydantic {pydantic.VERSION}: dict[str, float] gives {found[0]}, dict[str, Any] gives {found[1]}; as JSON {texts[0]} and {texts[1]}")
as_seen = isinstance(found[0], float) and math.isnan(found[0]) and found[1] is None and texts == [b'{"price":null}'] * 2
raise SystemExit(not as_seen)
PY
