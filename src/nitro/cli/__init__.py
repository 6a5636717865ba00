"""The command line beyond `run` and `skill`: `nitro tail`, `emit`, `log`, `doctor`, `bench`, `types`, `asyncapi` and
`serve`.

Needs `pip install 'nitro-realtime[cli]'`.
"""
