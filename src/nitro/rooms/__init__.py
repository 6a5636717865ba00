"""Rooms: who is present, the same in every process."""
