#!/usr/bin/env bash
# SQLModel 0.0.50 with SQLAlchemy 2.1.9 on SQLite: a Decimal field comes back with other digits than were stored.
# Expected: Decimal("2.50") is read back as Decimal("2.50"), or SQLModel warns that SQLite has no such type.
# Seen: Decimal("2.5000000000"), ten places, without any warning.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check sqlmodel==0.0.50 sqlalchemy==2.1.9
"$dir/venv/bin/python" -W error - <<'PY'
from decimal import Decimal
from importlib.metadata import version

from sqlmodel import Field, Session, SQLModel, create_engine, select


class Price(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    amount: Decimal


engine = create_engine("sqlite://")
SQLModel.metadata.create_all(engine)
with Session(engine) as session:
    session.add(Price(amount=Decimal("2.50")))
    session.commit()
with Session(engine) as session:
    found = session.exec(select(Price.amount)).one()
print(f"sqlmodel {version('sqlmodel')}, sqlalchemy {version('sqlalchemy')}: stored 2.50, read {found}")
raise SystemExit(str(found) != "2.5000000000")
PY
