"""`redis://`: streams in Redis, two keys for each."""
