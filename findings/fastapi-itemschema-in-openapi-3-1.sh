#!/usr/bin/env bash
# FastAPI 0.165.0: the document of an endpoint that streams server-sent events says that it is OpenAPI 3.1.0, and isn't.
# Expected: a document that is valid for the version that it names.
# Seen: the response has an itemSchema, a keyword of OpenAPI 3.2, which the schema of 3.1 doesn't allow; openapi-spec-validator 0.9.0
# refuses it. The same document with 3.2.0 in its field `openapi` is valid.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check fastapi==0.165.0 openapi-spec-validator==0.9.0
"$dir/venv/bin/python" - <<'PY'
from collections.abc import AsyncIterator

import fastapi
from fastapi.sse import EventSourceResponse
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

app = fastapi.FastAPI()


@app.get("/numbers", response_class=EventSourceResponse)
async def numbers() -> AsyncIterator[int]:
    yield 1


document = app.openapi()
try:
    validate(document)
    refused = ""
except OpenAPIValidationError as error:
    refused = error.message
validate({**document, "openapi": "3.2.0"})
print(f"FastAPI {fastapi.__version__} says OpenAPI {document['openapi']}: {refused or 'valid'}; valid as 3.2.0")
raise SystemExit("itemSchema" not in refused)
PY
