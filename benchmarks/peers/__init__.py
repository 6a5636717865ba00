"""The servers that are compared, one a file; what they share is in `pace.py` and `queues.py`.

`nchan.conf` is the one that isn't Python: a template for nginx, see its head.
"""
