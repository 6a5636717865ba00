"""Idempotency keys of a log: what counts as the same, decided from the entries alone."""

from __future__ import annotations

import gc
import time

from nitro.brokers.idempotency import IdempotencyKey, IdempotencyKeys


def test_a_key_counts_until_so_many_entries_or_seconds_later() -> None:
    once = IdempotencyKeys(max_entries=10, max_age_seconds=60)
    assert once.is_new(IdempotencyKey("k", "a", 1000.0), 1)
    assert not once.is_new(IdempotencyKey("k", "a", 1059.0), 10)
    assert not once.is_new(IdempotencyKey("k", "a", 1118.0), 11), "since the last one with that key"
    assert once.is_new(IdempotencyKey("k", "b", 1178.0), 12), "by time"
    assert not once.is_new(IdempotencyKey("k", "b", 1179.0), 21)
    assert once.is_new(IdempotencyKey("k", "b", 1179.0), 31), "by entries"
    assert once.is_new(IdempotencyKey("other", "b", 1179.0), 32)


def test_processes_that_read_the_log_from_different_places_decide_alike() -> None:
    numbers = [n % 7 if n < 60 else n % 37 for n in range(300)]
    marks = [(IdempotencyKey(f"k{number}", str(n), 1000.0 + 2 * n), n) for n, number in enumerate(numbers)]
    early, late = IdempotencyKeys(20, 30.0), IdempotencyKeys(20, 30.0)
    decided = [early.is_new(mark, sequence) for mark, sequence in marks]
    late_decided = [late.is_new(mark, sequence) for mark, sequence in marks[50:]]
    assert decided[70:] == late_decided[20:], "once it has read as many as a key counts"


def test_what_is_too_old_is_not_known_any_more() -> None:
    once = IdempotencyKeys(10, 0.2)
    once.is_new(IdempotencyKey("k", "a", time.time()), 1)
    assert once.content_of("k") == "a"
    deadline = time.monotonic() + 5
    while once.content_of("k") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_waits_for_a_key_is_told_what_stands_in_the_log_under_it() -> None:
    keys = IdempotencyKeys(10, 60.0)
    waiting, other = keys.content_when_seen("k"), keys.content_when_seen("other")
    assert keys.content_when_seen("k") is waiting
    assert keys.is_new(IdempotencyKey("k", "first", time.time()), 1)
    assert not keys.is_new(IdempotencyKey("k", "second", time.time()), 2)
    assert waiting.result(0) == "first"
    assert keys.content_when_seen("k").result(0) == "first"
    assert not other.done()
    del other
    gc.collect()
    assert not keys._awaited, "nobody waits any more"
