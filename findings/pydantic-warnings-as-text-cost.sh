#!/usr/bin/env bash
# pydantic 2.14.4 (pydantic_core 2.50.5): dump_json(warnings="none") takes several times as long as dump_json(warnings=False).
# Expected: the documentation says that False is "none" and True is "warn", so that both take the same time.
# Seen: about 1 µs more for each call with a text, which is two to three times the serialization of a small model; the same for "warn" and
# "error", though nothing has to be warned about.
# Exits with 1 if the text takes less than 1.5 times as long as the bool, the best of 50 batches of each, in turns.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.4
"$dir/venv/bin/python" -W error - <<'PY'
import timeit

import pydantic
from pydantic import BaseModel, TypeAdapter


class Todo(BaseModel):
    id: int
    title: str
    done: bool = False


todo, dump = Todo(id=1, title="x" * 60), TypeAdapter(Todo).serializer.to_json
ways = {False: "False", "none": '"none"', True: "True", "warn": '"warn"', "error": '"error"'}
best = dict.fromkeys(ways, float("inf"))
for _ in range(50):
    for way in ways:
        best[way] = min(best[way], timeit.timeit(lambda: dump(todo, warnings=way), number=2000) / 2000 * 1e6)
print(f"pydantic {pydantic.VERSION}, µs a call: " + ", ".join(f"{name} {best[way]:.2f}" for way, name in ways.items()))
raise SystemExit(best["none"] < 1.5 * best[False] or best["warn"] < 1.5 * best[True])
PY
