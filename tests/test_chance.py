"""Random numbers of Nitro's own: an application that seeds Python's neither gets nor gives any."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from nitro.brokers import codec


def test_entries_of_an_application_that_seeds_its_numbers_have_marks_that_differ() -> None:
    marks = []
    for _ in range(2):
        random.seed(7)
        state = random.getstate()
        marks.append(codec.encode("a.b", None, b"1", None))
        assert random.getstate() == state
    assert marks[0] != marks[1]


FORKING = """
import os
from nitro.chance import CHANCE
child = os.fork()
os.write(1, f"{CHANCE.getrandbits(64)} ".encode())
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM HAS NO FORK")
def test_a_forked_child_has_numbers_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True)
    numbers = done.stdout.split()
    assert len(numbers) == len(set(numbers)) == 2
