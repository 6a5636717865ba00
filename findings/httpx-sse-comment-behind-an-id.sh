#!/usr/bin/env bash
# httpx-sse 0.4.3: once a stream has had an id, a block that is a comment alone is handed on as an event.
# Expected (WHATWG HTML, 9.2.6): a block whose data buffer is empty dispatches nothing, whatever id came before it.
# Seen: a second event with empty data and the id of the first, for each comment that keeps the line alive.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check httpx-sse==0.4.3 httpx==0.28.1
"$dir/venv/bin/python" - <<'PY'
from importlib.metadata import version

import httpx
from httpx_sse import connect_sse

BODY = b"id: 1\ndata: one\n\n: still here\n\n"
answer = httpx.MockTransport(lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=BODY))
with httpx.Client(transport=answer) as client, connect_sse(client, "GET", "http://localhost/") as source:
    heard = [(event.id, event.data) for event in source.iter_sse()]
print(f"httpx-sse {version('httpx-sse')}: one event was sent, and heard were {heard}")
raise SystemExit(heard != [("1", "one"), ("1", "")])
PY
