#!/usr/bin/env bash
# FastAPI 0.165.0: the query of a request is parsed before its first dependency is called, though nobody declares a
# query parameter.
# Expected: what is parsed is what is asked for, so a dependency that refuses a request saves what the query costs.
# Seen: when the dependency, which declares the request alone and refuses, is called, Starlette has parsed the whole
# query once; for 1,000 parameters that is most of what the refusal costs.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check fastapi==0.165.0 starlette==1.10.0
"$dir/venv/bin/python" - <<'PY'
import asyncio
from importlib.metadata import version

import starlette.datastructures as structures
from fastapi import Depends, FastAPI, HTTPException, Request

parsed = []
parse = structures.parse_qsl
structures.parse_qsl = lambda text, *rest, **options: parsed.append(len(text)) or parse(text, *rest, **options)
seen = []


def refuse(request: Request) -> None:
    seen.append(len(parsed))
    raise HTTPException(429)


app = FastAPI()


@app.get("/", dependencies=[Depends(refuse)])
async def read() -> None: ...


async def main() -> None:
    query = "&".join(f"topic={n}" for n in range(1000)).encode()
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query, "headers": []}

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(_: dict[str, object]) -> None: ...

    await app(scope, receive, send)


asyncio.run(main())
print(f"fastapi {version('fastapi')}: parsed {seen[0]} times before the dependency was called, {len(parsed)} in all")
raise SystemExit((seen, len(parsed)) != ([1], 1))
PY
