"""The conformance suite of stores: the contract of `nitro.streams.base.Store`, as tests to run against your own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from unittest import SkipTest

from nitro.streams.base import ABSENT, Change, Commit, Conflict, Record, Store

__all__ = ["StoreConformance"]

T = TypeVar("T")
SECONDS = 10.0
"""How long anything may take."""


class StoreConformance:
    """All the tests. Derive from it, and override `store`, and the hooks that your store supports."""

    def store(self, namespace: str) -> Store:
        """A new store object for that namespace, not open."""
        raise NotImplementedError

    def cut(self) -> None:
        """Make the server close all its connections."""
        raise SkipTest(f"{type(self).__name__} has no cut()")

    def leftovers(self, namespace: str) -> int:
        """How many keys, rows or messages the server has of that namespace."""
        raise SkipTest(f"{type(self).__name__} has no leftovers() of {namespace}")

    def test_a_commit_has_its_state_its_record_and_a_greater_version(self) -> None:
        async def scenario(store: Store) -> None:
            assert await store.load("a") is None
            first = await commit(store, Commit("a", ABSENT, b"one", b"1", alarm_at=5.5))
            second = await commit(store, Commit("a", first, b"two", b"2"))
            third = await commit(store, Commit("a", second, b"three", None, second))
            assert ABSENT < first < second < third < 1 << 53
            stored = await store.load("a")
            assert stored is not None
            assert stored == (third, second, b"three", None)
            assert await store.read("a", 0, third, 1000) == [Record(first, b"1"), Record(second, b"2")]
            assert await store.load("b") is None

        self.run(scenario)

    def test_a_new_key_has_the_tail_that_it_is_given_and_is_below_its_version(self) -> None:
        async def scenario(store: Store) -> None:
            source = await commit(store, Commit("source", ABSENT, b"s", b"1"))
            fork = await commit(store, Commit("fork", ABSENT, b"f", None, source, 1e9))
            stored = await store.load("fork")
            assert stored == (fork, source, b"f", 1e9)
            assert fork > source
            assert await commit(store, Commit("fork", fork, b"f", b"2")) > fork

        self.run(scenario)

    def test_who_expects_another_version_changes_nothing(self) -> None:
        async def scenario(store: Store) -> None:
            first = await commit(store, Commit("a", ABSENT, b"one", b"1"))
            second = await commit(store, Commit("a", first, b"two", b"2"))
            wrong = [Commit("a", ABSENT, b"x", b"x"), Commit("a", first, b"x", b"x"), Commit("a", first, None)]
            wrong += [Commit("missing", 7, b"x", b"x"), Commit("missing", 7, None)]
            for each in wrong:
                (result,) = await store.commit([each])
                assert isinstance(result, Conflict), each
            stored = await store.load("a")
            assert stored is not None
            assert stored.version == second
            assert [record.body for record in await store.read("a", 0, 1 << 52, 1000)] == [b"1", b"2"]
            assert await store.load("missing") is None

        self.run(scenario)

    def test_of_those_who_commit_at_once_one_succeeds(self) -> None:
        async def scenario(one: Store, other: Store) -> None:
            version = ABSENT
            for _ in range(20):
                commits = [(store, Commit("a", version, b"s", name)) for store, name in ((one, b"1"), (other, b"2"))]
                results = await asyncio.gather(*(store.commit([each]) for store, each in commits))
                won = [result for (result,) in results if isinstance(result, int)]
                assert len(won) == 1
                assert won[0] > version
                version = won[0]
            assert len(await one.read("a", 0, version, 1000)) == 20

        self.run_two(scenario)

    def test_commits_of_many_keys_at_once_are_each_by_itself(self) -> None:
        async def scenario(store: Store) -> None:
            taken = await commit(store, Commit("k7", ABSENT, b"s", b"taken"))
            results = await store.commit([Commit(f"k{n}", ABSENT, b"s%d" % n, b"%d" % n) for n in range(300)])
            assert len(results) == 300
            assert [n for n, result in enumerate(results) if isinstance(result, Conflict)] == [7]
            for n, result in enumerate(results):
                stored = await store.load(f"k{n}")
                assert stored is not None
                assert stored.version == (taken if n == 7 else result)
                assert stored.state == (b"s" if n == 7 else b"s%d" % n)

        self.run(scenario)

    def test_reading_is_from_a_version_to_a_version_a_page_at_a_time(self) -> None:
        async def scenario(store: Store) -> None:
            versions, version = list[int](), ABSENT
            for n in range(12):
                version = await commit(store, Commit("a", version, b"s", b"%02d" % n * 50))
                versions.append(version)
                await commit(store, Commit(f"other-{n}", ABSENT, b"s", b"other"))
            assert [body[:2] for _, body in await store.read("a", 0, version, 10_000)] == [
                b"%02d" % n for n in range(12)
            ]
            assert [v for v, _ in await store.read("a", versions[3], versions[8], 10_000)] == versions[4:9]
            assert [v for v, _ in await store.read("a", versions[3] + 1, versions[8] - 1, 10_000)][-1] < versions[8]
            assert [v for v, _ in await store.read("a", versions[3], versions[11], 350)] == versions[4:7]
            assert [v for v, _ in await store.read("a", versions[3], versions[11], 300)] == versions[4:7]
            assert [v for v, _ in await store.read("a", versions[3], versions[11], 299)] == versions[4:6]
            assert [v for v, _ in await store.read("a", versions[3], versions[11], 10)] == versions[4:5]
            assert await store.read("a", version, version + 100, 1000) in ([], ())
            assert await store.read("missing", 0, version, 1000) in ([], ())

        self.run(scenario)

    def test_a_long_stream_is_read_whole(self) -> None:
        async def scenario(store: Store) -> None:
            version, count = ABSENT, 700
            for n in range(count):
                version = await commit(store, Commit("a", version, b"s", b"%06d" % n + b"." * 700))
            bodies, after = list[bytes](), 0
            while after < version:
                page = await store.read("a", after, version, 64 * 1024)
                assert page
                assert sum(len(body) for _, body in page) <= 64 * 1024
                bodies += [body[:6] for _, body in page]
                after = page[-1].version
            assert bodies == [b"%06d" % n for n in range(count)]

        self.run(scenario)

    def test_any_bytes_are_read_as_they_were_written(self) -> None:
        async def scenario(store: Store) -> None:
            body = bytes(range(256)) * 8
            keys = ["a b", "ä/ö.*>", "a.b.c", "%00%2F", "..", "x" * 1024, "'\"\\;--", "#?&=", "{a}b", "日本"]
            keys.append("".join(chr(0x4E00 + n * 7_919 % 20_000) for n in range(682)))  # nothing that can be compressed
            for key in keys:
                await commit(store, Commit(key, ABSENT, b"state of " + key.encode(), body))
            for key in keys:
                stored = await store.load(key)
                assert stored is not None
                assert stored.state == b"state of " + key.encode()
                assert [record.body for record in await store.read(key, 0, stored.version, 10_000)] == [body]
            assert list(await store.keys("", 100)) == sorted(keys)
            empty = await commit(store, Commit("empty", ABSENT, b"", b""))
            assert await store.read("empty", 0, empty, 10) == [Record(empty, b"")]

        self.run(scenario)

    def test_what_is_deleted_is_gone_and_its_key_is_free(self) -> None:
        async def scenario(store: Store) -> None:
            first = await commit(store, Commit("a", ABSENT, b"one", b"1", alarm_at=1.0))
            await commit(store, Commit("ab", ABSENT, b"one", b"1"))
            await commit(store, Commit("a", first, None))
            assert await store.load("a") is None
            assert await store.read("a", 0, 1 << 52, 1000) in ([], ())
            assert list(await store.due(2.0, 10)) == []
            assert list(await store.keys("a", 10)) == ["ab"]
            again = await commit(store, Commit("a", ABSENT, b"two", b"2"))
            assert again > first
            assert [record.body for record in await store.read("a", 0, again, 1000)] == [b"2"]
            assert await store.load("ab") is not None

        self.run(scenario)

    def test_keys_are_found_by_their_beginning_in_order(self) -> None:
        async def scenario(store: Store) -> None:
            keys = ["b/1", "a/2", "a/1", "a", "a/10", "A/1", "a0", "ä/1"]
            await store.commit([Commit(key, ABSENT, b"s") for key in keys])
            assert list(await store.keys("a/", 10)) == ["a/1", "a/10", "a/2"]
            assert list(await store.keys("a/", 2)) == ["a/1", "a/10"]
            assert list(await store.keys("", 100)) == sorted(keys)
            assert list(await store.keys("c", 100)) == []

        self.run(scenario)

    def test_alarms_are_due_in_order_and_can_be_postponed(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            versions = await store.commit(
                [
                    Commit("c", ABSENT, b"s", alarm_at=30.25),
                    Commit("a", ABSENT, b"s", alarm_at=10.5),
                    Commit("b", ABSENT, b"s", b"1", alarm_at=20.0),
                    Commit("never", ABSENT, b"s"),
                ]
            )
            await eventually(lambda: _is(other.due(25.0, 10), ["a", "b"]))
            assert list(await store.due(25.0, 10)) == ["a", "b"]
            assert list(await store.due(100.0, 2)) == ["a", "b"]
            assert list(await store.due(10.0, 10)) == []
            assert not await store.postpone("a", 10.0, 50.0)
            assert not await store.postpone("missing", 10.0, 50.0)
            assert await store.postpone("a", 10.5, 50.0)
            assert not await store.postpone("a", 10.5, 60.0)
            stored = await store.load("a")
            assert stored == (versions[1], 0, b"s", 50.0)
            await eventually(lambda: _is(other.due(100.0, 10), ["b", "c", "a"]))
            assert isinstance(versions[1], int)
            later = await commit(store, Commit("a", versions[1], b"s", alarm_at=5.0))
            assert await other.postpone("a", 5.0, 6.0)
            await commit(store, Commit("a", later, b"s"))
            assert not await other.postpone("a", 6.0, 7.0)
            await eventually(lambda: _is(store.due(100.0, 10), ["b", "c"]))

        self.run_two(scenario)

    def test_who_watches_hears_each_commit_once_it_can_be_read(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            before = await commit(other, Commit("a", ABSENT, b"0", b"before"))
            async with Heard(store) as heard:
                await heard.watch("a")
                versions, version = list[int](), before
                for n in range(50):
                    version = await commit(other, Commit("a", version, b"%d" % n, b"%d" % n if n % 5 else None, before))
                    versions.append(version)
                    await commit(other, Commit(f"other-{n}", ABSENT, b"s", b"x"))
                await heard.until("a", version)
                assert not any(change.key.startswith("other") for change in heard.changes)
                last = before
                for change in heard.changes:
                    assert change.stored is None or change.stored.version > last
                    if change.is_complete and heard.is_complete:
                        assert change.previous == last, "commits before it were neither told nor joined with others"
                    last = change.stored.version if change.stored is not None else last
                for change in heard.changes:
                    if change.is_complete:
                        assert change.stored is not None
                        n = versions.index(change.stored.version)
                        assert (change.stored.state, change.body) == (b"%d" % n, b"%d" % n if n % 5 else None)
                await commit(other, Commit("a", version, None))
                await heard.until("a", ABSENT)

        self.run_two(scenario)

    def test_a_commit_that_nobody_waited_for_is_told_if_it_was_stored(self) -> None:
        async def scenario(store: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                version = ABSENT
                for n in range(30):
                    committing = asyncio.ensure_future(store.commit([Commit("a", version, b"s", b"%d" % n)]))
                    await asyncio.wait([committing], timeout=0.0002 * n)
                    committing.cancel()
                    (done,) = await asyncio.gather(committing, return_exceptions=True)
                    if not isinstance(done, BaseException) and isinstance(done[0], int):
                        heard.known["a"] = done[0]

                    async def is_known() -> bool:
                        stored = await again(lambda: store.load("a"))
                        return heard.known["a"] == (0 if stored is None else stored.version)

                    await asyncio.sleep(0.02)
                    await eventually(is_known)
                    version = heard.known["a"]

        self.run(scenario)

    def test_long_news_is_told_or_announced(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                version = await commit(other, Commit("a", ABSENT, b"s" * 30_000, b"b" * 100_000))
                await heard.until("a", version)
                for change in heard.changes:
                    if change.is_complete:
                        assert change == ("a", ABSENT, (version, version, b"s" * 30_000, None), b"b" * 100_000, True)
                assert await store.read("a", 0, version, 1000) == [Record(version, b"b" * 100_000)]

        self.run_two(scenario)

    def test_who_no_longer_watches_hears_nothing(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                await heard.watch("b")
                store.unwatch("a")
                del heard.known["a"]
                await asyncio.sleep(0.2)
                heard.changes.clear()
                one = await commit(other, Commit("a", ABSENT, b"s", b"1"))
                two = await commit(other, Commit("b", ABSENT, b"s", b"2"))
                await heard.until("b", two)
                assert "a" not in {change.key for change in heard.changes}
                await heard.watch("a")
                three = await commit(other, Commit("a", one, b"s", b"3"))
                await heard.until("a", three)

        self.run_two(scenario)

    def test_namespaces_do_not_share_anything(self) -> None:
        async def scenario(store: Store) -> None:
            await commit(store, Commit("a", ABSENT, b"s", b"1", alarm_at=1.0))
            async with opened(self.store(self.namespace())) as stranger:
                assert await stranger.load("a") is None
                assert list(await stranger.keys("", 10)) == []
                assert list(await stranger.due(10.0, 10)) == []
                await commit(stranger, Commit("a", ABSENT, b"s", b"2"))
            stored = await store.load("a")
            assert stored is not None
            assert [record.body for record in await store.read("a", 0, stored.version, 10)] == [b"1"]

        self.run(scenario)

    def test_it_goes_on_after_its_connections_were_cut(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                version = await commit(other, Commit("a", ABSENT, b"0", b"0"))
                await heard.until("a", version)
                await asyncio.to_thread(self.cut)
                version = await again(lambda: commit(other, Commit("a", version, b"1", b"1")))
                await heard.until("a", version)
                version = await again(lambda: commit(other, Commit("a", version, b"2", b"2")))
                await heard.until("a", version)
                assert await again(lambda: store.load("a")) is not None

        self.run_two(scenario)

    def test_it_can_be_closed_and_opened_again(self) -> None:
        async def scenario(store: Store) -> None:
            version = await commit(store, Commit("a", ABSENT, b"s", b"1"))
            await store.close()
            await store.open()
            assert await commit(store, Commit("a", version, b"s", b"2")) > version

        name = self.namespace()
        self.run(scenario, name)

    def test_nothing_is_left_of_what_was_deleted(self) -> None:
        name = self.namespace()

        async def scenario(store: Store) -> None:
            versions = await store.commit([Commit(f"k{n}", ABSENT, b"s", b"1" * 100, alarm_at=1.0) for n in range(200)])
            versions = await store.commit(
                [Commit(f"k{n}", v, b"s", b"2", alarm_at=2.0) for n, v in enumerate(versions) if isinstance(v, int)]
            )
            assert await asyncio.to_thread(self.leftovers, name) >= 200
            await store.commit([Commit(f"k{n}", v, None) for n, v in enumerate(versions) if isinstance(v, int)])
            assert list(await store.keys("", 10)) == []

        self.run(scenario, name)
        deadline = time.monotonic() + SECONDS
        while self.leftovers(name) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.leftovers(name) == 0

    @staticmethod
    def namespace() -> str:
        """A name that nothing else has."""
        return f"t-{secrets.token_hex(6)}"

    def run(self, scenario: Callable[[Store], Coroutine[Any, Any, None]], namespace: str | None = None) -> None:
        """Run a scenario with an open store."""

        async def main() -> None:
            async with opened(self.store(namespace or self.namespace())) as store:
                await scenario(store)

        asyncio.run(main())

    def run_two(self, scenario: Callable[[Store, Store], Coroutine[Any, Any, None]]) -> None:
        """Run a scenario with two open stores of one namespace, as two processes have."""

        async def main() -> None:
            name = self.namespace()
            async with opened(self.store(name)) as one, opened(self.store(name)) as other:
                await scenario(one, other)

        asyncio.run(main())


class Heard:
    """What a store tells of the keys that are watched; what it doesn't tell completely is loaded, as anybody would.

    Attributes:
        changes: all that was told.
        known: the newest version of each watched key that was told or loaded; 0 if it isn't there.
        is_complete: whether nothing had to be loaded since it was set to True.
    """

    def __init__(self, store: Store) -> None:
        self.changes: list[Change] = []
        self.known: dict[str, int] = {}
        self.is_complete: bool = True
        self._store = store
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Heard:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def watch(self, key: str) -> None:
        """Watch a key, and wait until its commits are told."""
        self._store.watch(key)
        self.known.pop(key, None)
        for _ in range(30):
            if key in self.known:
                break
            await asyncio.sleep(0.01)
        self.known.setdefault(key, 0)
        self.changes.clear()
        self.is_complete = True

    async def until(self, key: str, version: int) -> None:
        """Wait until that version of a key is known; 0: that it isn't there."""
        async with asyncio.timeout(SECONDS):
            while self.known.get(key) != version:  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.01)

    async def _listen(self) -> None:
        while True:
            try:
                news = await self._store.news()
            except Exception:  # noqa: BLE001 - its connection was cut; it says so, and goes on
                news = None
                await asyncio.sleep(0.05)
            if news is None:
                for key in tuple(self.known):
                    await self._load(key)
                continue
            self.changes += news
            for change in news:
                if not change.is_complete:
                    await self._load(change.key)
                else:
                    self.known[change.key] = change.stored.version if change.stored is not None else 0

    async def _load(self, key: str) -> None:
        self.is_complete = False
        stored = await again(lambda: self._store.load(key))
        self.known[key] = stored.version if stored is not None else 0


@asynccontextmanager
async def opened(store: Store):  # type: ignore[no-untyped-def]
    """The store, open."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def commit(store: Store, each: Commit) -> int:
    """Commit one change that has to succeed."""
    (result,) = await store.commit([each])
    assert isinstance(result, int), result
    return result


async def again(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Call until it succeeds: a connection may be found to be dead by its first use."""
    for _ in range(100):
        try:
            return await call()
        except AssertionError:
            raise
        except Exception:  # noqa: BLE001 - the driver's
            await asyncio.sleep(0.05)
    return await call()


async def eventually(condition: Callable[[], Coroutine[Any, Any, bool]], seconds: float = SECONDS) -> None:
    """Wait until that is so."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)


async def _is(answer: Coroutine[Any, Any, Sequence[str]], wanted: Sequence[str]) -> bool:
    return list(await answer) == list(wanted)
