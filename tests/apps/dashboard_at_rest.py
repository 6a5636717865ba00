"""`examples/dashboard.py` without its ticks: one that comes in the same frame as an event of a test hides it."""

from __future__ import annotations

from examples import dashboard

dashboard.TICK_SECONDS = 86_400
app = dashboard.app
