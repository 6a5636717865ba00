#!/usr/bin/env bash
# SQLite 3.54.1 (apsw 3.54.1.0): length(blob) reads the whole blob, where a window function stands beside it.
# Expected: length() of a blob is in the row's header, so SQLite reads none of it, as it doesn't in a plain SELECT, nor in
# sum(length(body)) OVER (...).
# Seen: as a column of its own beside any window function it costs three times the blob's size in memory, since the rows
# that the function works on are copied with the blob, and its length is taken from the copy.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet apsw==3.54.1.0
cat > try.py <<'PYTHON'
import sys

import apsw

MEGABYTES = 50
with apsw.Connection("big.db") as db:
    db.execute("CREATE TABLE entry (n INTEGER PRIMARY KEY, body BLOB)")
    db.execute("INSERT INTO entry VALUES (1, zeroblob(?)), (2, x'00')", (MEGABYTES * 1_000_000,))


def megabytes_for(columns: str) -> int:
    db = apsw.Connection("big.db")
    apsw.memory_high_water(True)
    list(db.execute(f"SELECT {columns} FROM entry"))
    return apsw.memory_high_water(True) // 1_000_000


plain = megabytes_for("length(body)")
within = megabytes_for("sum(length(body)) OVER (ORDER BY n)")
beside = megabytes_for("length(body), row_number() OVER (ORDER BY n)")
print(f"SQLite {apsw.sqlite_lib_version()}, a blob of {MEGABYTES} MB: its length alone takes {plain} MB, ", end="")
print(f"within a window function {within} MB, beside one {beside} MB")
sys.exit(0 if plain < 5 and within < 5 and beside > MEGABYTES else 1)
PYTHON
venv/bin/python try.py
