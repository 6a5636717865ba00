#!/usr/bin/env bash
# SQLAlchemy 2.1.9: the session event `after_commit` is told when a savepoint is released, while nothing is committed yet.
# Expected (documentation of SessionEvents.after_commit): it is called after a commit has occurred.
# Seen: one call at the release of the savepoint, though all of it is rolled back afterwards.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check sqlalchemy==2.1.9
"$dir/venv/bin/python" - <<'PY'
import sqlalchemy
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

told = []
with Session(create_engine("sqlite://")) as session:
    event.listen(session, "after_commit", lambda session: told.append(session.in_nested_transaction()))
    session.execute(text("SELECT 1"))
    with session.begin_nested():
        session.execute(text("SELECT 1"))
    session.rollback()
print(f"sqlalchemy {sqlalchemy.__version__}: nothing was committed; after_commit was told {len(told)} time(s), {told}")
raise SystemExit(told != [True])
PY
