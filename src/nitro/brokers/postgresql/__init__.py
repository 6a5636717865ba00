"""`postgresql://`: the log in a table."""
