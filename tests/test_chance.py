"""Random numbers of Nitro's own: an application that seeds Python's neither gets nor gives any."""

from __future__ import annotations

import os
import random

import pytest

from nitro.brokers import codec
from nitro.chance import CHANCE


def test_entries_of_an_application_that_seeds_its_numbers_have_marks_that_differ() -> None:
    marks = []
    for _ in range(2):
        random.seed(7)
        state = random.getstate()
        marks.append(codec.encode("a.b", None, b"1", None))
        assert random.getstate() == state
    assert marks[0] != marks[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM HAS NO FORK")
def test_a_forked_child_has_numbers_of_its_own() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, CHANCE.getrandbits(64).to_bytes(8))
        os._exit(0)
    own = CHANCE.getrandbits(64).to_bytes(8)
    os.waitpid(child, 0)
    assert os.read(reader, 8) != own
    os.close(reader)
    os.close(writer)
