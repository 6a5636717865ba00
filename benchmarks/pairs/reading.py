"""`python -m pairs.reading URL`: a process that reads the log and has nobody who hears it."""

from __future__ import annotations

import os
import sys

os.environ["NITRO_BROKER_URL"] = sys.argv[1]
import nitro

nitro.connect_broker()
print("ready", flush=True)
sys.stdin.read()
