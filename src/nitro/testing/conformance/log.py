"""The six verbs of a log by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from nitro.brokers import codec
from nitro.brokers.base import Entry, Extent, LogChanged
from nitro.redaction import without_secrets
from nitro.testing.conformance.hooks import Hooks

__all__ = ["LogTests"]


class LogTests(Hooks):
    """What a log promises to its broker."""

    def test_its_name_shows_no_user_password_or_option_of_its_url(self) -> None:
        name = self.log(self.namespace()).name
        shown = without_secrets(name)
        assert "://" not in name or name == shown, f"logs and errors show its name; it should be {shown}"

    def test_what_was_tried_again_is_there_once(self) -> None:
        name = self.namespace()
        bodies = [codec.encode("a.b", None, b"%d" % n, None) for n in range(10)]

        async def scenario() -> Sequence[Entry]:
            log = self.log(name)
            extent = await log.open()
            await log.append("p", 1, bodies[:4])
            await log.append("p", 1, bodies[:6])
            await log.append("p", 1, bodies[:2])  # fewer, as a slow line did not carry them in time
            await log.append("p", 3, bodies[2:6])
            await log.append("q", 1, bodies[6:7])
            await log.append("p", 5, bodies[4:6])
            await log.append("p", 9, bodies[8:])
            entries = await log.read(extent.newest, 100, 0)
            await log.close()
            return entries

        entries = self.run(scenario())
        assert [entry.body for entry in entries] == [*bodies[:7], *bodies[8:]]
        assert [entry.sequence - entries[0].sequence for entry in entries] == list(range(9))

    def test_it_says_where_it_stands_and_where_what_was_appended_stands(self) -> None:
        name = self.namespace()

        async def scenario() -> None:
            one, other = self.log(name), self.log(name)
            start = (await one.open()).newest
            assert (await other.open()).newest == start
            assert await one.newest() == start
            assert await one.append("p", 1, [b"1", b"2"]) == start + 2
            assert await other.newest() == start + 2
            assert await other.append("q", 1, [b"3"]) == start + 3
            assert await one.append("p", 1, [b"1", b"2"]) in (start + 2, start + 3)  # they were there already
            assert await one.newest() == start + 3
            await one.renew()
            for verb in (other.newest(), other.append("q", 2, [b"4"])):
                try:
                    await verb
                except LogChanged:
                    pass
                else:
                    raise AssertionError("a log with another epoch answered as if it had the old one")
            await one.close()
            await other.close()

        self.run(scenario())

    def test_reading_goes_on_behind_a_sequence_a_page_at_a_time(self) -> None:
        name = self.namespace()

        async def scenario() -> None:
            log = self.log(name)
            start = (await log.open()).newest
            await log.append("p", 1, [b"%d" % n for n in range(30)])
            for first, last in ((0, 10), (25, 30)):
                bodies: list[bytes | None] = []
                while len(bodies) < last - first:  # a page may have fewer than there are
                    page = await log.read(start + first + len(bodies), 10 - len(bodies), 5)
                    assert 0 < len(page) <= 10 - len(bodies)
                    bodies += [entry.body for entry in page]
                assert bodies == [b"%d" % n for n in range(first, last)]
            began = time.monotonic()
            assert list(await log.read(start + 30, 10, 0.2)) == []
            assert 0.1 < time.monotonic() - began < 1.0
            await log.close()

        self.run(scenario())

    def test_a_new_epoch_begins_once_however_many_want_it(self) -> None:
        name = self.namespace()

        async def scenario() -> list[Extent]:
            logs = [self.log(name) for _ in range(3)]
            before = [await log.open() for log in logs]
            assert len({extent.epoch for extent in before}) == 1
            await logs[0].append("p", 1, [b"1", b"2"])
            await asyncio.gather(*(log.renew() for log in logs))
            try:
                await logs[1].append("p", 3, [b"3"])
            except LogChanged:
                pass
            else:
                raise AssertionError("an append to another epoch was accepted")
            for log in logs:
                await log.close()
            after = [await log.open() for log in logs]
            assert after[0].epoch != before[0].epoch
            await logs[2].append("p", 1, [b"4"])
            entries = await logs[0].read(after[0].oldest - 1, 10, 5)
            assert [entry.body for entry in entries] == [b"4"]
            for log in logs:
                await log.close()
            return after

        after = self.run(scenario())
        assert len({extent.epoch for extent in after}) == 1

    def test_a_verb_that_is_cancelled_harms_nobody(self) -> None:
        name = self.namespace()

        async def scenario() -> Sequence[Entry]:
            log = self.log(name)
            extent = await log.open()
            start, first = extent.newest, 1
            for turn in range(30):
                for verb in (log.read(start, 10, 0.5), log.append("p", first, [b"%d" % turn])):
                    task = asyncio.ensure_future(verb)
                    await asyncio.sleep(turn * 0.0001)
                    task.cancel()
                    await asyncio.wait([task])
                    await log.close()
                    await log.open()
                await log.append("p", first, [b"%d" % turn])
                first += 1
            entries: list[Entry] = []
            while page := await log.read(start + len(entries), 100, 0):
                entries += page
            await log.close()
            return entries

        assert [entry.body for entry in self.run(scenario())] == [b"%d" % n for n in range(30)]
