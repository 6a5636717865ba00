"""A log broker after an administrator or a fault has changed the log or cut its connections."""

from __future__ import annotations

import time
from unittest import SkipTest

from nitro.brokers.base import Retention
from nitro.messages.message import UNKNOWN_STAMP
from nitro.testing.conformance.ends import eventually
from nitro.testing.conformance.hooks import Hooks

__all__ = ["FaultTests"]


class FaultTests(Hooks):
    """Logs that are wiped, trimmed, restored and disconnected."""

    def test_a_log_that_was_wiped_is_another_one_and_everybody_is_told(self) -> None:
        name = self.namespace()
        with self.end(name) as one, self.end(name) as other:
            before = one.broker.head
            for n in range(20):
                one.publish(b"%d" % n)
            eventually(lambda: len(other.heard.messages) == 20, "all are heard")
            self.wipe(name)
            eventually(lambda: one.broker.head.epoch != before.epoch, "one end sees it")
            eventually(lambda: other.broker.head.epoch == one.broker.head.epoch, "the other end sees it")
            for end in (one, other):
                assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"]
            other.publish(b'"after"')
            eventually(lambda: one.heard.payloads[-1:] == [b'"after"'], "it is heard")
            self.check_lost(one, before, "epoch")

    def test_a_log_of_which_a_part_was_deleted_is_another_one_and_goes_on(self) -> None:
        name, retention = self.namespace(), Retention(10, 1 << 20, 300)
        with self.end(name, retention) as one, self.end(name, retention) as other:
            before = one.broker.head
            for n in range(50):
                one.publish(b"%d" % n)
                for end in (one, other):
                    eventually(lambda end=end, n=n: len(end.heard.messages) > n, "all are heard")  # type: ignore[misc]
            self.damage(name)
            one.publish(b'"after"')
            for end in (one, other):
                eventually(lambda end=end: end.heard.payloads[-1:] == [b'"after"'], "it is heard")  # type: ignore[misc]
                assert len(end.heard.messages) == 51
                assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"]
            self.check_lost(one, before, "epoch")

    def test_a_log_that_was_put_back_is_another_one_and_everybody_is_told(self) -> None:
        name = self.namespace()
        with self.end(name) as one, self.end(name) as other:
            before = one.broker.head
            for n in range(100):
                one.publish(b"1" if n % 2 else b"0")
            eventually(lambda: len(other.heard.messages) == 100, "all are heard")
            put_back = self.save(name)
            for _ in range(10):
                one.publish(b"1")
            for end in (one, other):
                eventually(lambda end=end: len(end.heard.messages) == 110, "all are heard")  # type: ignore[misc]
            put_back()
            for _ in range(40):  # at once, so that no reader sees the shorter log
                one.publish(b"1")
            one.flush()
            for end in (one, other):
                eventually(lambda end=end: end.broker.head.epoch != before.epoch, "the gap is announced")  # type: ignore[misc]
            one.publish(b'"after"')
            for end in (one, other):
                eventually(lambda end=end: end.heard.payloads[-1:] == [b'"after"'], "it is heard")  # type: ignore[misc]
                assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"]
            self.check_lost(one, before, "epoch")

    def test_who_comes_back_to_a_log_that_was_put_back_while_nobody_was_there_is_told(self) -> None:
        name = self.namespace()
        with self.end(name) as one:
            self.check_heard(one, range(10))
            saved = one.broker.head
        put_back = self.archive(name)
        with self.end(name) as one:
            self.check_heard(one, range(10, 15))
            lost = [message.position for message in one.heard.messages]
        put_back()
        with self.end(name) as one, self.end(name) as other:
            self.check_heard(one, range(10, 40))
            eventually(lambda: other.broker.head == one.broker.head, "the other has read it, too")
            for end in (one, other):
                for position in lost:
                    assert position is not None
                    self.check_lost(end, position, "epoch")
                known = end.heard.gaps[0][1] if saved.epoch != end.broker.head.epoch else saved
                assert [message.payload for message in end.broker.read(known, 100)] == [
                    b"%d" % n for n in range(10, 40)
                ]

    def test_who_comes_back_to_such_a_log_which_has_been_quiet_since_is_told_as_well(self) -> None:
        name, retention = self.namespace(), Retention(1_000, 1 << 20, 0.5)
        with self.end(name, retention) as one:
            self.check_heard(one, range(10))
        put_back = self.archive(name)
        with self.end(name, retention) as one:
            self.check_heard(one, range(10, 15))
            lost = one.broker.head
        put_back()
        with self.end(name, retention) as one:
            self.check_heard(one, range(10, 15))
            known = one.broker.head
            eventually(lambda: one.broker.retained.messages == 0, "all of it is too old to be retained")
        with self.end(name, retention) as one:
            assert list(one.broker.read(known, 100)) == []
            if one.broker.head.stamp == UNKNOWN_STAMP:
                raise SkipTest(f"{type(self).__name__}: the log doesn't keep its newest entry's first bytes")
            self.check_lost(one, lost, "epoch")

    def test_what_was_trimmed_before_it_was_read_is_a_gap(self) -> None:
        name = self.namespace()
        with self.end(name) as one, self.end(name) as other:
            other.heard.is_behind = True
            one.publish(b"0")
            eventually(lambda: other.heard.messages, "the last before it waits")
            for n in range(1, 600):
                one.publish(b"%d" % n)
            one.flush()
            time.sleep(0.1)
            self.trim(name, other.broker.head.sequence + 300)
            other.heard.is_behind = False
            one.publish(b'"last"')
            eventually(lambda: other.heard.payloads[-1] == b'"last"', "it goes on")
            assert {reason for reason, _ in other.heard.gaps[1:]} <= {"expired"}  # none, if it had read them
            self.check_positions(other.heard.messages, gaps=other.heard.gaps[1:])

    def test_a_log_that_was_emptied_goes_on_counting(self) -> None:
        name = self.namespace()
        with self.end(name) as one:
            for n in range(20):
                one.publish(b"%d" % n)
            eventually(lambda: len(one.heard.messages) == 20, "all are heard")
            self.trim(name, one.broker.head.sequence)
            one.publish(b'"after"')
            eventually(lambda: one.heard.payloads[-1] == b'"after"', "it is heard")
            self.check_positions(one.heard.messages)
            assert one.heard.gaps[1:] == []

    def test_what_comes_after_a_log_was_emptied_is_delivered_however_often_that_was(self) -> None:
        name, retention = self.namespace(), Retention(1_000, 10_000, 300)
        with self.end(name, retention) as one:
            for _ in range(4):
                heard = len(one.heard.messages)
                for _ in range(8):
                    one.publish(b'"%s"' % (b"x" * 998))
                eventually(lambda heard=heard: len(one.heard.messages) == heard + 8, "all are heard")  # type: ignore[misc]
                self.trim(name, one.broker.head.sequence)
            for n in range(15):
                one.publish(b"%d" % n)
                eventually(lambda n=n: one.heard.payloads[-1] == b"%d" % n, "each is heard")  # type: ignore[misc]
            with self.end(name, retention) as late:
                assert late.broker.retained.messages == 15
            self.check_positions(one.heard.messages)
            assert one.heard.gaps[1:] == []

    def test_connections_that_are_cut_lose_and_double_nothing(self) -> None:
        name = self.namespace()
        with self.end(name) as one, self.end(name) as other:
            for n in range(900):
                one.publish(b"%d" % n)
                if n % 150 == 75:
                    self.cut()
                time.sleep(0.001)
            one.flush()
            for end in (one, other):
                eventually(lambda end=end: len(end.heard.messages) >= 900, "all are heard")  # type: ignore[misc]
                assert end.heard.payloads == [b"%d" % n for n in range(900)]
                assert end.heard.gaps[1:] == []
