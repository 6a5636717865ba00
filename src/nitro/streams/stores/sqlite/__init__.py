"""`sqlite:///path`: streams in the file of the log."""
