"""The command line beyond `run`: `nitro tail`, `nitro emit` and `nitro log`.

Needs `pip install 'nitro-realtime[cli]'`.
"""
