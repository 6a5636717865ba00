"""The nemesis over our own set-ups: `python -m tests.nemesis --broker redis-sentinel --minutes 60 --seed 7`."""
