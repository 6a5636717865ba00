"""The delivery engine: from a message in the log to the queue of one client.

`router` finds the feeds, `feed` keeps what all of its clients share, `outbox` is one client's cursor into it,
`lane` is everything of one event loop, and `hub` is the one file where the stages meet.
"""
