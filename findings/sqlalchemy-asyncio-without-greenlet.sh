#!/usr/bin/env bash
# SQLAlchemy 2.1.9: without greenlet the first import of sqlalchemy.ext.asyncio raises, and every further one succeeds.
# Expected: ImportError each time, as Python gives it for a module whose import fails each time.
# Seen: ImportError once, with the advice to install greenlet; the second import gives AsyncSession and all the rest, and
# the error comes when something is awaited. So a program that tries the import, and goes on without it, finds it later.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check sqlalchemy==2.1.9
"$dir/venv/bin/python" - <<'PY'
import sys

import sqlalchemy

seen = []
for _ in range(3):
    try:
        import sqlalchemy.ext.asyncio
    except ImportError as error:
        seen.append("ImportError" if "greenlet" in str(error) else repr(error))
    else:
        seen.append("imported")
print(f"sqlalchemy {sqlalchemy.__version__}, Python {sys.version.split()[0]}: {', '.join(seen)}")
sys.exit(seen != ["ImportError", "imported", "imported"])
PY
