"""`redis://`: the log in a Redis stream."""
