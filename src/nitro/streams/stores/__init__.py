"""Stores, one for each kind of broker."""
