"""Every row of docs/reference/bad-inputs.md as tests, each marked with its row; each file is a part of the table.

`test_table.py` holds the two together.
"""
