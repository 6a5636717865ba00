"""Markups: how HTML of rows is wrapped for a library, so that it gets to its place in the page."""
