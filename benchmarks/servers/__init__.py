"""The servers that are compared, one a file, and what they have in common (`pace.py`)."""
