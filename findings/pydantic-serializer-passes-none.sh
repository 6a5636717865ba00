#!/usr/bin/env bash
# pydantic 2.14.4: the serializer warns of a value of another type than its field's, and of None it says nothing.
# Expected: with `warnings="error"`, None in a field that isn't optional is an error, as 5 in a field of text is.
# Seen: 5 raises PydanticSerializationError; None is written as null, also where it was assigned after the validation or is
# the default of `title: str = None`. The model refuses to read what it has written.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet pydantic==2.14.4
cat > try.py <<'PYTHON'
import sys

from pydantic import VERSION, BaseModel, ValidationError
from pydantic_core import PydanticSerializationError


class Todo(BaseModel):
    title: str = None


def written(todo):
    try:
        return todo.model_dump_json(warnings="error")
    except PydanticSerializationError:
        return "refused"


def read(text):
    try:
        return Todo.model_validate_json(text)
    except ValidationError:
        return "refused"


changed = Todo(title="Milk")
changed.title = None
number = Todo(title="Milk")
number.title = 5
seen = [written(number), written(changed), written(Todo()), read(written(Todo()))]
print(VERSION, seen)
sys.exit(seen != ["refused", '{"title":null}', '{"title":null}', "refused"])
PYTHON
venv/bin/python try.py
