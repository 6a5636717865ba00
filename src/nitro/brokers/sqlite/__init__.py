"""`sqlite:///path`: the log in a file."""
