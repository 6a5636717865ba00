"""The SQL of a PostgreSQL log: its tables, the function that appends, and its statements.

An administrator may have to create the tables and the function, so docs/how-to/scaling.md has them, too.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ALONE",
    "APPEND",
    "COUNT_PRODUCERS",
    "DISOWN",
    "EMPTY",
    "ENDS",
    "EXAMINE",
    "EXISTS",
    "EXTENT",
    "FIND",
    "FORGET",
    "FORGET_PRODUCERS",
    "ISOLATED",
    "IS_PLAIN",
    "MAKE",
    "MOVE",
    "NOTIFY",
    "READ",
    "RENEW",
    "SCHEMA",
    "SERVER",
    "SETTINGS",
]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS nitro_logs (
    namespace text PRIMARY KEY, epoch text NOT NULL, sequence bigint NOT NULL, timeline text NOT NULL
);
CREATE TABLE IF NOT EXISTS nitro_messages (
    namespace text NOT NULL, sequence bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body bytea NOT NULL, PRIMARY KEY (namespace, sequence)
);
CREATE TABLE IF NOT EXISTS nitro_producers (
    namespace text NOT NULL, producer text NOT NULL, number bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (namespace, producer)
);
CREATE TABLE IF NOT EXISTS nitro_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, namespace text NOT NULL, body bytea NOT NULL
);
CREATE OR REPLACE FUNCTION nitro_append(
    log text, its_epoch text, its_producer text, first bigint, bodies bytea[], max_messages bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
    known bigint;
    more bigint;
BEGIN
    IF cardinality(bodies) = 0 AND NOT EXISTS (SELECT 1 FROM nitro_outbox WHERE namespace = log) THEN
        RETURN (SELECT sequence FROM nitro_logs WHERE namespace = log AND epoch = its_epoch);
    END IF;
    SELECT sequence INTO newest FROM nitro_logs WHERE namespace = log AND epoch = its_epoch FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    WITH moved AS (DELETE FROM nitro_outbox WHERE namespace = log RETURNING id, body)
    INSERT INTO nitro_messages (namespace, sequence, body)
        SELECT log, newest + row_number() OVER (ORDER BY id), body FROM moved;
    GET DIAGNOSTICS more = ROW_COUNT;
    newest := newest + more;
    IF cardinality(bodies) > 0 THEN
        SELECT number INTO known FROM nitro_producers WHERE namespace = log AND producer = its_producer;
        INSERT INTO nitro_messages (namespace, sequence, body)
            SELECT log, newest + row_number() OVER (ORDER BY place), body
            FROM unnest(bodies) WITH ORDINALITY AS new (body, place) WHERE first + place - 1 > coalesce(known, 0);
        GET DIAGNOSTICS more = ROW_COUNT;
        newest := newest + more;
        INSERT INTO nitro_producers (namespace, producer, number)
            VALUES (log, its_producer, first + cardinality(bodies) - 1)
            ON CONFLICT (namespace, producer)
            DO UPDATE SET number = greatest(excluded.number, nitro_producers.number), at = clock_timestamp();
    END IF;
    UPDATE nitro_logs SET sequence = newest WHERE namespace = log;
    DELETE FROM nitro_messages WHERE namespace = log AND sequence < newest - max_messages
        AND sequence < (SELECT min(sequence) FROM nitro_messages WHERE namespace = log) + 20000;
    PERFORM pg_notify('nitro_' || log, '');
    RETURN newest;
END $$;
"""
EXISTS: Final = """
SELECT count(*) = 4, EXISTS (
    SELECT 1 FROM pg_proc WHERE oid = to_regproc('nitro_append') AND prosrc LIKE '%greatest(%'
) FROM pg_class
WHERE relname IN ('nitro_logs', 'nitro_messages', 'nitro_producers', 'nitro_outbox') AND pg_table_is_visible(oid)
"""
"""A function that is older lets a producer's number fall, so it is replaced. Not `to_regclass`, whose answer would not
change when another session creates them meanwhile."""

ALONE: Final = "SELECT pg_advisory_xact_lock(hashtext('nitro'))"
DISOWN: Final = "DELETE FROM nitro_logs"
SERVER: Final = """
SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8), current_setting('synchronous_standby_names') <> ''
"""
EXAMINE: Final = """
SELECT current_setting('fsync'), (SELECT relpersistence::text FROM pg_class WHERE oid = 'nitro_messages'::regclass),
    extract(epoch FROM clock_timestamp())
"""
IS_PLAIN: Final = """
SELECT current_setting('default_transaction_isolation') = 'read committed'
    AND current_setting('synchronous_commit') <> 'off'
"""
SETTINGS: Final = """
SELECT set_config(name, value, $1)
FROM (VALUES ('synchronous_commit', 'off', 'on'), ('idle_in_transaction_session_timeout', '0', '5s'),
    ('lock_timeout', '0', '6s')) AS each (name, unsafe, value)
WHERE current_setting(name, true) = unsafe
"""
"""What is committed is durable, a process that is frozen in a transaction doesn't keep its locks, and a statement that
waits for a lock of another program is over soon after it was given up."""
ISOLATED: Final = "SET default_transaction_isolation = 'read committed'"
NOTIFY: Final = "SELECT pg_notify($1, '')"
MAKE: Final = "INSERT INTO nitro_logs VALUES ($1, '', 0, $2) ON CONFLICT (namespace) DO NOTHING"
FIND: Final = "SELECT epoch, sequence, timeline FROM nitro_logs WHERE namespace = $1 FOR UPDATE"
ENDS: Final = "SELECT min(sequence), max(sequence) FROM nitro_messages WHERE namespace = $1"
MOVE: Final = "UPDATE nitro_logs SET timeline = $2 WHERE namespace = $1"
EXTENT: Final = """
SELECT epoch, sequence, (SELECT min(sequence) FROM nitro_messages WHERE namespace = $1),
    (SELECT substring(body FOR $3) FROM nitro_messages WHERE namespace = $1 AND sequence = $2)
FROM nitro_logs WHERE namespace = $1
"""
APPEND: Final = "SELECT nitro_append($1, $2, $3, $4, $5, $6)"
"""It trims so many entries at a time that no append takes long, after a retention that was lowered, too."""
READ: Final = """
SELECT sequence, CASE WHEN size <= $4 THEN body END, extract(epoch FROM clock_timestamp() - at)::float8,
    (SELECT substring(body FOR $7) FROM nitro_messages WHERE namespace = $1 AND sequence = $2)
FROM (
    SELECT *, sum(least(size, $4)) OVER (ORDER BY sequence) AS total FROM (
        SELECT sequence, body, at, octet_length(body) AS size FROM nitro_messages
        WHERE namespace = $1 AND sequence > $2 AND $6 = (SELECT epoch FROM nitro_logs WHERE namespace = $1)
        ORDER BY sequence LIMIT $3
    ) AS page
) AS sized WHERE total - least(size, $4) <= $5 ORDER BY sequence
"""
RENEW: Final = "UPDATE nitro_logs SET epoch = $3, sequence = 0 WHERE namespace = $1 AND epoch = $2 RETURNING 1"
EMPTY: Final = (
    "DELETE FROM nitro_messages WHERE namespace = $1",
    "DELETE FROM nitro_producers WHERE namespace = $1",
)
FORGET: Final = """
DELETE FROM nitro_messages WHERE namespace = $1 AND sequence < (
    SELECT max(sequence) FROM (
        SELECT sequence, at, octet_length(body) AS size, sum(octet_length(body)) OVER (ORDER BY sequence DESC) AS bytes
        FROM nitro_messages WHERE namespace = $1 AND sequence >= $4
    ) AS sized WHERE bytes > greatest($2, size) OR at < clock_timestamp() - make_interval(secs => $3)
) AND sequence < (SELECT min(sequence) FROM nitro_messages WHERE namespace = $1) + 20000
"""
"""The newest entry stays, however long it is, and one more than the limits, which marks the oldest position."""
COUNT_PRODUCERS: Final = "SELECT count(*) FROM nitro_producers WHERE namespace = $1"
FORGET_PRODUCERS: Final = "DELETE FROM nitro_producers WHERE at < clock_timestamp() - interval '1 day'"
