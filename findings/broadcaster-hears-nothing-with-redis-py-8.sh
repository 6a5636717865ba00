#!/usr/bin/env bash
# broadcaster 0.3.1: with redis-py 8 a subscription over Redis pub/sub hears nothing.
# Expected: what is published after `subscribe` has returned comes, as it does with redis-py 7.
# Seen: nothing within two seconds; its task that listens waits for another subscription.
# Needs Debian's redis-server. Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'kill "${server:-}" 2>/dev/null; rm -rf "$dir"' EXIT
redis-server --port 0 --unixsocket "$dir/redis.sock" --save "" --dir "$dir" > /dev/null & server=$!
python3 -m venv "$dir/venv"
for redis in 7.1.0 8.1.0; do
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check broadcaster==0.3.1 "redis==$redis"
    "$dir/venv/bin/python" - "unix://$dir/redis.sock" <<'PY'
import asyncio
import os
import sys
from importlib.metadata import version

from broadcaster import Broadcast
from broadcaster._backends.redis import RedisBackend


async def hears() -> bool:
    broadcast = Broadcast(backend=RedisBackend(sys.argv[1]))
    await broadcast.connect()
    subscription = broadcast.subscribe("a")
    subscriber = await subscription.__aenter__()
    await broadcast.publish("a", "hello")
    try:
        return (await asyncio.wait_for(subscriber.get(), 2)).message == "hello"
    except TimeoutError:
        return False


heard = asyncio.run(hears())
print(f"broadcaster {version('broadcaster')} with redis-py {version('redis')}: {'heard' if heard else 'nothing'}", flush=True)
os._exit(heard == (int(version("redis").split(".")[0]) >= 8))  # its tasks are left as they are
PY
done
