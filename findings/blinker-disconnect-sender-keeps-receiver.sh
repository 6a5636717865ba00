#!/usr/bin/env bash
# blinker 1.9.0: a receiver that is disconnected from the last sender that it was connected for stays in `receivers`.
# Expected: as it is called for nobody any more, the signal lets go of it, as it does without a sender.
# Seen: with `weak=False` the function is kept for ever, and `receivers` is not empty, so the signal counts as connected.
# `disconnect(receiver)` without a sender lets go of it.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet blinker==1.9.0
cat > try.py <<'PYTHON'
import gc
import sys
import weakref
from importlib.metadata import version

from blinker import Signal

signal = Signal()


def hear(sender):
    """Calls nobody."""


signal.connect(hear, sender="ann", weak=False)
signal.disconnect(hear, sender="ann")
called = signal.send("ann")
watched = weakref.ref(hear)
del hear
gc.collect()
seen = (called, len(signal.receivers), watched() is None)
signal.disconnect(watched())
print(version("blinker"), seen, len(signal.receivers))
sys.exit((seen, len(signal.receivers)) != (([], 1, False), 0))
PYTHON
venv/bin/python try.py
