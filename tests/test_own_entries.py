"""What a process was told to be in the log must come by; however it was tried, nothing else is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nitro.brokers import codec
from nitro.brokers.base import Entry
from nitro.brokers.own_entries import OwnEntries


class Model:
    """A log that takes each number of a producer once, its writer, which may be interrupted, and its reader."""

    def __init__(self) -> None:
        self.bodies = [codec.encode("a.b", None, b"%d" % n, None) for n in range(60)]
        self.log: list[bytes] = []
        self.own = OwnEntries()
        self.known = self.acknowledged = self.read = 0

    def append(self, count: int, carried: int, *, is_answered: bool) -> None:
        first = self.acknowledged + 1
        bodies = self.bodies[first - 1 : first - 1 + count]
        if not bodies:
            return
        self.own.sent(first, bodies)
        arrived = bodies if is_answered else bodies[:carried]
        self.log += arrived[max(0, self.known + 1 - first) :]
        self.known = max(self.known, first - 1 + len(arrived))
        if is_answered:
            self._acknowledge(len(bodies))

    def answer_late(self, count: int, reads: int) -> None:
        """The log has a batch, and the reader is before the answer."""
        first = self.acknowledged + 1
        bodies = self.bodies[first - 1 : first - 1 + count]
        if not bodies:
            return
        self.own.sent(first, bodies)
        self.log += bodies[max(0, self.known + 1 - first) :]
        self.known = max(self.known, first - 1 + len(bodies))
        self.read_on(reads)
        self._acknowledge(len(bodies))

    def append_of_another(self) -> None:
        self.log.append(codec.encode("a.b", None, b"0", None))

    def read_on(self, count: int) -> None:
        for body in self.log[self.read : self.read + count]:
            self.read += 1
            assert not self.own.is_missing_at(Entry(self.read, body, 0.0)), "it is where it has to be"

    def _acknowledge(self, count: int) -> None:
        self.own.stands(len(self.log))
        self.acknowledged += count


COUNTS = st.integers(1, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), COUNTS, st.integers(0, 5), st.booleans()),
        st.tuples(st.just("late"), COUNTS, st.integers(0, 6)),
        st.tuples(st.just("other")),
        st.tuples(st.just("read"), COUNTS),
    ),
    max_size=40,
)


def walked(steps: list[tuple[object, ...]]) -> Model:
    model = Model()
    for step in steps:
        match step:
            case ("append", int(count), int(carried), bool(is_answered)):
                model.append(count, carried, is_answered=is_answered)
            case ("late", int(count), int(reads)):
                model.answer_late(count, reads)
            case ("other",):
                model.append_of_another()
            case ("read", int(count)):
                model.read_on(count)
    return model


@given(steps=STEPS)
def test_nothing_is_missing_in_a_log_that_lost_nothing_however_it_was_tried(steps: list[tuple[object, ...]]) -> None:
    model = walked(steps)
    model.append(5, 5, is_answered=True)
    model.read_on(len(model.log))
    assert not model.own, "nothing is expected any more"


@given(steps=STEPS)
def test_an_acknowledged_entry_that_another_one_has_replaced_is_missed(steps: list[tuple[object, ...]]) -> None:
    model = walked(steps)
    model.append(1, 1, is_answered=True)
    model.read_on(len(model.log))
    model.append(1, 1, is_answered=True)
    if not model.own:
        return  # it had been read when it was tried before
    other = Entry(len(model.log), codec.encode("a.b", None, b"0", None), 0.0)
    assert model.own.is_missing_at(other)
