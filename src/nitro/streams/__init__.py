"""Streams that have an end: what runs and the Durable Streams Protocol stand on."""
