#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0, and with h11 0.16.0: a response without a length to a request over HTTP/1.0.
# Expected: HTTP/1.0 has no chunks, and a server must not send any (RFC 9112, 6.1). The body ends with the connection, whichever
# parser is configured, since the documentation offers both as the same server.
# Seen: with h11 it is so. With httptools, which is chosen where it is installed, the response has `transfer-encoding: chunked`, so
# a client of HTTP/1.0 takes the sizes of the chunks for a part of the body.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
cat > "$dir/app.py" <<'PY'
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
PY
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import importlib.metadata
import re
import socket
import subprocess
import sys


def body(http):
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--http", http, "--lifespan", "off", "app:app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        line = next(line for line in server.stdout if "Uvicorn running" in line)
        port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            got = b""
            while more := connection.recv(1000):
                got += more
        server.terminate()
        server.stdout.read()
    return got.split(b"\r\n\r\n", 1)[1]


found = {http: body(http) for http in ("h11", "httptools")}
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("uvicorn", "h11", "httptools"))
print(f"{versions}: {found}")
sys.exit(found != {"h11": b"hello", "httptools": b"5\r\nhello\r\n0\r\n\r\n"})
PY
