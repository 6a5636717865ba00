#!/usr/bin/env bash
# asyncpg 0.32.0: `connect` that is cancelled at the moment when TCP has connected leaves a failed future behind.
# Expected: a cancelled `connect` ends with CancelledError, and nothing else is told, whenever the cancellation comes.
# Seen: over TCP, with TLS negotiated as by default, the protocol that asks the server for TLS has a future for the answer
# from its construction on. Cancelled after the connection was made, and before `loop.create_connection` has returned, nobody
# awaits that future; closing the transport fails it, and the loop's exception handler is told "Future exception was never
# retrieved" with ConnectionError('unexpected connection_lost() call'). Programs that end or give up while they connect
# print it now and then. Without TLS (ssl=False) there is no such future.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet asyncpg==0.32.0
cat > try.py <<'PYTHON'
import asyncio
import gc
import sys

import asyncpg

EXPECTED = ("Future exception was never retrieved", "ConnectionError('unexpected connection_lost() call')")


async def told(**options: object) -> set[tuple[str, str]]:
    """What the loop's handler is told if `connect` is cancelled after one turn of the loop, after two, and so on."""
    loop = asyncio.get_running_loop()
    found = set()
    loop.set_exception_handler(lambda _, context: found.add((context["message"], repr(context.get("exception")))))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for turns in range(20):
        task = asyncio.create_task(asyncpg.connect(host="127.0.0.1", port=port, user="u", database="d", **options))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)
        await asyncio.sleep(0.01)
        gc.collect()
    server.close()
    return found


by_default, without_tls = asyncio.run(told()), asyncio.run(told(ssl=False))
print(f"asyncpg {asyncpg.__version__}: by default {by_default}; without TLS {without_tls}")
sys.exit(0 if (by_default, without_tls) == ({EXPECTED}, set()) else 1)
PYTHON
venv/bin/python try.py
