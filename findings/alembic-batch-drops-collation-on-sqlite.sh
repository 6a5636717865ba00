#!/usr/bin/env bash
# SQLAlchemy 2.1.9 and Alembic 1.20.1: what is read of a SQLite table has no collation, so a batch migration drops that of all
# columns, also of those that it doesn't touch.
# Expected: a column that is not named in the migration stays as it was, or the migration says that it can't.
# Seen: after one `add_column` with `recreate="always"`, a UNIQUE COLLATE NOCASE column is a plain one: it takes "ann" beside "Ann",
# and sorts "Zoe" before "ann". Nothing is said.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet sqlalchemy==2.1.9 alembic==1.20.1
cat > try.py <<'PYTHON'
import sys

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

engine = sa.create_engine("sqlite://")
with engine.begin() as connection:
    connection.exec_driver_sql("CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE NOT NULL UNIQUE)")
    connection.exec_driver_sql("INSERT INTO person (name) VALUES ('Zoe'), ('Ann')")
    with Operations(MigrationContext.configure(connection)).batch_alter_table("person", recreate="always") as batch:
        batch.add_column(sa.Column("note", sa.Text))
    connection.exec_driver_sql("INSERT INTO person (name) VALUES ('ann')")
    names = connection.exec_driver_sql("SELECT name FROM person ORDER BY name").scalars().all()
print(sa.__version__, names)
sys.exit(names != ["Ann", "Zoe", "ann"])
PYTHON
venv/bin/python try.py
