"""A log broker over the log: order, acknowledgement, retention, and invalid entries."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from nitro.brokers.base import Retention
from nitro.messages.message import Position
from nitro.testing.conformance.ends import MAX_PAYLOAD_BYTES, eventually
from nitro.testing.conformance.hooks import Hooks

__all__ = ["DeliveryTests"]


class DeliveryTests(Hooks):
    """What every end of a log delivers."""

    def test_every_end_hears_everything_in_one_order(self) -> None:
        name = self.namespace()
        with self.end(name) as one, self.end(name) as other, ThreadPoolExecutor(6) as threads:
            ends = [one, other, one, other, one, other]

            def emit(producer: int) -> None:
                for n in range(100):
                    ends[producer].publish(b"[%d,%d]" % (producer, n))

            list(threads.map(emit, range(6)))
            for end in (one, other):
                end.flush()
            for end in (one, other):
                eventually(lambda end=end: len(end.heard.messages) >= 600, "all are heard")  # type: ignore[misc]
            assert one.heard.messages == other.heard.messages
            self.check_positions(one.heard.messages)
            for producer in range(6):
                numbers = [m.data[1] for m in one.heard.messages if m.data[0] == producer]
                assert numbers == list(range(100)), f"thread {producer}: {numbers}"

    def test_a_message_arrives_as_it_was_sent(self) -> None:
        name = self.namespace()
        with self.end(name) as one, self.end(name) as other:
            longest = min(MAX_PAYLOAD_BYTES, self.longest_body(name)) - 200
            payloads = [
                b'"\xc3\xa4\xe2\x80\xa8\\u0000"',
                b"[1,\n 2]",
                b"0",
                b'"' + b"x" * longest + b'"',
            ]
            for payload in payloads:
                one.broker.publish("todo.created:x-1", "s\u00e4nder\n\0", payload, "k\r\n")
            eventually(lambda: len(other.heard.messages) >= len(payloads), "all are heard")
            assert other.heard.payloads == payloads
            assert {message[:2] for message in other.heard.messages} == {("todo.created:x-1", "s\u00e4nder\n\0")}
            assert {message.key for message in other.heard.messages} == {"k\r\n"}

    def test_what_is_acknowledged_can_be_read_by_who_comes_later(self) -> None:
        name = self.namespace()
        with self.end(name) as one:
            start = one.broker.head
            for n in range(50):
                one.publish(b"%d" % n)
            one.flush()
            with self.end(name) as late:
                assert late.heard.messages == []
                assert [message.payload for message in late.broker.read(start, 100)] == [b"%d" % n for n in range(50)]
                assert late.broker.head[:2] == (start.epoch, start.sequence + 50)

    def test_retention_by_count_holds_for_who_was_there_and_who_was_not(self) -> None:
        name, retention = self.namespace(), Retention(10, 1 << 20, 300)
        with self.end(name, retention) as one:
            start = one.broker.head
            for n in range(50):
                one.publish(b"%d" % n)
                if n % 5 == 4:  # so that nothing is dropped before it is read
                    eventually(lambda n=n: len(one.heard.messages) > n, "all are heard")  # type: ignore[misc]
            with self.end(name, retention) as late:
                for end in (one, late):
                    self.check_lost(end, start, "expired")
                    kept = end.broker.read(Position(start.epoch, start.sequence + 40), 100)
                    assert [message.payload for message in kept] == [b"%d" % n for n in range(40, 50)]

    def test_retention_by_bytes(self) -> None:
        name, retention = self.namespace(), Retention(1_000, 10_000, 300)
        with self.end(name, retention) as one:
            start = one.broker.head
            for n in range(30):
                one.publish(b'"%s"' % (b"x" * 998))
                if n % 5 == 4:
                    eventually(lambda n=n: len(one.heard.messages) > n, "all are heard")  # type: ignore[misc]
            with self.end(name, retention) as late:
                for end in (one, late):
                    self.check_lost(end, start, "expired")
                    assert 5 <= end.broker.retained.messages <= 10  # a log may count more than the payload

    def test_the_newest_is_kept_and_delivered_even_if_it_alone_is_more_than_what_is_retained(self) -> None:
        name, retention = self.namespace(), Retention(1_000, 10_000, 300)
        with self.end(name, retention) as one, self.end(name, retention) as other:
            longest = min(self.longest_body(name), MAX_PAYLOAD_BYTES)
            for n in range(6):
                one.publish(b'"%d%s"' % (n, b"x" * min(30_000, longest // 2)))
                for end in (one, other):
                    eventually(lambda end=end, n=n: len(end.heard.messages) > n, "it is heard")  # type: ignore[misc]
                    self.check_positions(end.heard.messages)
                    assert end.heard.gaps[1:] == []

    def test_positions_of_another_life_and_of_the_future_are_refused(self) -> None:
        with self.end(self.namespace()) as one, self.end(self.namespace()) as other:
            one.publish(b"1")
            eventually(lambda: one.heard.messages, "it is heard")
            self.check_lost(one, other.broker.head, "epoch")
            self.check_lost(one, Position(one.broker.head.epoch, 10), "invalid")

    def test_namespaces_are_apart(self) -> None:
        with self.end(self.namespace()) as one, self.end(self.namespace()) as other:
            for n in range(20):
                one.publish(b"%d" % n)
            other.publish(b'"other"')
            eventually(lambda: len(one.heard.messages) == 20, "all are heard")
            eventually(lambda: other.heard.messages, "it is heard")
            assert other.heard.payloads == [b'"other"']
            assert one.broker.head.epoch != other.broker.head.epoch

    def test_what_is_no_message_is_skipped_and_counted_and_the_next_is_delivered(self) -> None:
        name = self.namespace()
        garbage = [
            b"x",
            b"\x80\x04\x95\x0b\x00",
            b'[1,"a.b",null,null]',
            b'[1,"a.b",null,null]\n{"a":',
            b'[1,"a.b",null,null]\n"\xff"',
            b'[1,"a.b",null,null]\nNaN',
            b'["1","a.b",null,null]\n1',
            b'[1,"a b",null,null]\n1',
            b"[1,7,null,null]\n1",
            b'[1,"a.b",7,null]\n1',
            b'[1,"a.b",null,{}]\n1',
            b'[1,"a.b",null,null,5]\n1',
            b'{"version":1}\n1',
            b"[]\n1",
        ]
        with self.end(name) as one:
            self.run(self.append(name, "stranger", 1, garbage))
            one.publish(b'"good"')
            eventually(lambda: one.heard.messages, "the good one is heard")
            assert one.heard.payloads == [b'"good"']
            assert one.broker.state.skipped == len(garbage)
            assert one.heard.gaps[1:] == []

    def test_what_may_be_an_event_and_cannot_be_handed_on_is_a_gap(self) -> None:
        name = self.namespace()
        with self.end(name) as one:
            longest = self.longest_body(name)
            too_long = b'[1,"a.b",null,null]\n"%s"' % (b"x" * MAX_PAYLOAD_BYTES)
            of_another_version = b'[2,"a.b",null,null,null]\n1'
            for bodies in ([of_another_version], [of_another_version] * 3, [too_long]):
                if len(bodies[0]) > longest:
                    continue
                before = len(one.heard.gaps)
                self.run(self.append(name, self.namespace(), 1, bodies))
                one.publish(b'"good"')
                one.flush()
                eventually(lambda: one.heard.payloads[-1:] == [b'"good"'], "the good one is heard")
                assert {reason for reason, _ in one.heard.gaps[before:]} == {"expired"}
                assert len(one.heard.gaps[before:]) <= len(bodies), "one for those that were read together"
                assert [kind for kind, _ in one.heard.log[-2:]] == ["gap", "message"]
                one.heard.messages.clear()

    def test_who_waits_is_woken_by_a_message_and_does_not_wait_for_its_time(self) -> None:
        name = self.namespace()
        with self.end(name) as one, self.end(name) as other:
            time.sleep(1.5)  # so that the log is idle
            began = time.monotonic()
            one.publish(b"1")
            eventually(lambda: other.heard.messages, "it is heard", 0.5)
            assert time.monotonic() - began < 0.5

    def test_it_waits_while_the_receiver_is_behind(self) -> None:
        name = self.namespace()
        with self.end(name) as one:
            one.heard.is_behind = True
            for n in range(2_000):
                one.publish(b"%d" % n)
            one.flush()
            time.sleep(0.3)
            assert len(one.heard.messages) < 2_000
            one.heard.is_behind = False
            eventually(lambda: one.heard.payloads[-1:] == [b"1999"], "it goes on")
            self.check_positions(one.heard.messages, gaps=one.heard.gaps[1:])
