#!/usr/bin/env bash
# uvicorn 0.38.0 on Python 3.11: a server that is stopped by SIGTERM runs no exit handlers of Python's.
# Expected: SIGTERM is the way in which a process manager stops it, and it stops in good order: it runs the lifespan's
# shutdown and writes "Finished server process". So what is registered by atexit runs, too, and it ends with 0.
# Seen: when all of that is done it puts back the handlers from before it, and raises the signal again. The process ends by
# the signal, without exit handlers; what they would have flushed is gone. In the lifespan's shutdown there is time for it.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.38.0
cat > "$dir/app.py" <<'PY'
import atexit

atexit.register(print, "exit handler", flush=True)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                print("lifespan shutdown", flush=True)
                return
PY
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import importlib.metadata
import signal
import subprocess
import sys

command = [sys.executable, "-m", "uvicorn", "--port", "0", "app:app"]
with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
    output = []
    for line in server.stdout:
        output.append(line)
        if "Uvicorn running" in line:
            server.send_signal(signal.SIGTERM)
text = "".join(output)
said = [what for what in ("lifespan shutdown", "Finished server process", "exit handler") if what in text]
print(f"uvicorn {importlib.metadata.version('uvicorn')}, Python {sys.version.split()[0]}: {said}, ends with {server.returncode}")
sys.exit(said != ["lifespan shutdown", "Finished server process"] or server.returncode != -signal.SIGTERM)
PY
