"""Run by the Python of an empty environment, to which nothing of the checkout is importable."""
