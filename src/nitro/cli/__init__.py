"""The command line beyond `run`: `nitro tail`, `nitro emit`, `nitro log` and `nitro bench`.

Needs `pip install 'nitro-realtime[cli]'`.
"""
