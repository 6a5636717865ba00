"""Applications that tests serve with real servers."""
