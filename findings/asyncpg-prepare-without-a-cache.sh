#!/usr/bin/env bash
# asyncpg 0.32.0: with statement_cache_size=0 a statement that was prepared by hand is not kept either.
# Expected (docs of Connection.prepare): "name: ... If not specified, the name is auto-generated", so what `prepare` returns
# is a statement of that name on the server, as it is with a cache, and executing it again needs no parsing and planning.
# Seen: the option turns that off as well. The statement has no name, the server has none of it, and each execution prepares
# it once more: whoever turns the cache off for a pooler and prepares by hand where it is safe pays twice for each statement.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17 > /dev/null
python3 -m venv venv
venv/bin/pip install --quiet asyncpg==0.32.0
cat > server.mjs <<'JS'
import { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
const server = new PGLiteSocketServer({ db: await PGlite.create(), port: 0, host: "127.0.0.1" });
server.addEventListener("listening", ({ detail }) => console.log(detail.port));
await server.start();
JS
cat > try.py <<'PYTHON'
import asyncio
import subprocess
import sys

import asyncpg

STATEMENT = "SELECT 7 AS seven"
KEPT = f"SELECT count(*) FROM pg_prepared_statements WHERE statement = '{STATEMENT}' AND name <> ''"


async def prepared(port: int, cache_size: int) -> tuple[bool, int]:
    url = f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres"
    connection = await asyncpg.connect(url, ssl=False, statement_cache_size=cache_size)
    statement = await connection.prepare(STATEMENT)
    await statement.fetchval()
    return bool(statement.get_name()), await connection.fetchval(KEPT)


def found(cache_size: int) -> tuple[bool, int]:
    with subprocess.Popen(["node", "server.mjs"], stdout=subprocess.PIPE, text=True) as server:
        try:
            return asyncio.run(prepared(int(server.stdout.readline()), cache_size))
        finally:
            server.kill()


seen = {cache_size: found(cache_size) for cache_size in (100, 0)}
print(f"asyncpg {asyncpg.__version__}: cache size -> (whether it has a name, how many the server keeps): {seen}")
sys.exit(0 if seen == {100: (True, 1), 0: (False, 0)} else 1)
PYTHON
venv/bin/python try.py
