"""`nitro serve`: a hub, which holds the streams of applications that can't. Needs `nitro-realtime[serve]`."""
