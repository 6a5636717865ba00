#!/usr/bin/env bash
# granian 2.8.9 on a Unix socket: the ASGI scope's `client` is a pair of an empty host and a port that is text.
# Expected (ASGI, HTTP connection scope): None where there is no address, or [host, port] with an integer as port.
# Seen: ('', '0'): true where programs ask whether there is a client, one address for all clients.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'kill "${server:-}" 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check granian==2.8.9
cat > "$dir/app.py" <<'PY'
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": repr(scope["client"]).encode()})
PY
cd "$dir"
venv/bin/granian --interface asgi --uds "$dir/socket" --log-level error app:app & server=$!
for _ in $(seq 100); do [ -S socket ] && break; sleep 0.1; done
found=$(curl --silent --retry 20 --retry-all-errors --retry-delay 1 --unix-socket socket http://localhost/)
echo "granian $(venv/bin/granian --version | tr -d '\n'): client is $found"
[ "$found" = "('', '0')" ]
