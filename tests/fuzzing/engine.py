"""One run of libFuzzer over one target, in a process of its own: `python -m tests.fuzzing.engine TARGET FLAGS…`.

The first of the flags is the program that runs this very command again, as libFuzzer does when it merges.
"""

from __future__ import annotations

import logging
import sys

import atheris

with atheris.instrument_imports(include=["nitro"]):
    from tests.fuzzing.targets import TARGETS

if __name__ == "__main__":
    _, target, program, *flags = sys.argv
    logging.getLogger().addHandler(logging.NullHandler())  # else each warning of the library is printed
    atheris.Setup([program, *flags], TARGETS[target])
    atheris.Fuzz()
