#!/usr/bin/env bash
# httpx-sse 0.4.3, httpx 0.28.1: an answer that is no stream raises a TransportError.
# Expected: an error of its own kind. httpx documents TransportError as what goes wrong on the way to an answer, so it is
# what a loop catches that reconnects after a cut; the answer here came whole. (The standard says of 204: don't reconnect.)
# Seen: SSEError is a subclass of httpx.TransportError, so `except httpx.TransportError` takes a 204, and a page that asks
# for a login with status 200, for a lost connection, and asks again for ever.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet httpx-sse==0.4.3 httpx==0.28.1
cat > try.py <<'PYTHON'
import sys

import httpx
from httpx_sse import connect_sse

ANSWERS = {
    "204": httpx.Response(204),
    "login page": httpx.Response(200, headers={"content-type": "text/html"}, text="<h1>Log in</h1>"),
}


def seen(answer: httpx.Response) -> str:
    with httpx.Client(transport=httpx.MockTransport(lambda request: answer)) as client:
        with connect_sse(client, "GET", "http://example.org/events") as source:
            try:
                return f"{len(list(source.iter_sse()))} events"
            except httpx.TransportError as error:
                return f"TransportError: {type(error).__name__}"


found = {name: seen(answer) for name, answer in ANSWERS.items()}
print(found)
sys.exit(set(found.values()) != {"TransportError: SSEError"})
PYTHON
venv/bin/python try.py
