#!/usr/bin/env bash
# uvicorn 0.54.0 with h11 0.16.0 and httptools 0.9.0: a client that closes its sending half after its request, as `nc -N` does.
# Expected: it has said all that it wants to say, and reads the answer: TCP has two halves for that.
# Seen: the end of what the client sends closes the connection. An application that takes some time gets `http.disconnect`, and the
# client gets nothing.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
cat > "$dir/app.py" <<'PY'
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(0.5)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})
PY
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import importlib.metadata
import re
import socket
import subprocess
import sys


def answer(http, closes):
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--http", http, "--lifespan", "off", "app:app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        line = next(line for line in server.stdout if "Uvicorn running" in line)
        port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if closes:
                connection.shutdown(socket.SHUT_WR)
            got = b""
            while more := connection.recv(1000):
                got += more
        server.terminate()
        server.stdout.read()
    return got[-5:]


found = {http: (answer(http, False), answer(http, True)) for http in ("h11", "httptools")}
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("uvicorn", "h11", "httptools"))
print(f"{versions}: open and half-closed: {found}")
sys.exit(found != {"h11": (b"hello", b""), "httptools": (b"hello", b"")})
PY
