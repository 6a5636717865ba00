"""Chance: random numbers for jitter and for marks, apart from the `random` module's own.

Applications seed that one, for models or tests, in each worker alike: workers would try again at the same moments, and
two histories of a log would have the same marks. Nor do a library's background tasks change an application's numbers.
"""

from __future__ import annotations

import os
import random
from typing import Final

__all__ = ["CHANCE"]

CHANCE: Final = random.Random()  # noqa: S311 - for no secrets

if hasattr(os, "register_at_fork"):  # a child would go on with its parent's numbers
    os.register_at_fork(after_in_child=CHANCE.seed)
