"""What memory a server has in use, for tests that look whether some is left behind."""

from __future__ import annotations

import ctypes
from pathlib import Path

__all__ = ["resident_kib"]


def resident_kib() -> int:
    """What is in use: freed memory that the allocator keeps for later is given back first."""
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
