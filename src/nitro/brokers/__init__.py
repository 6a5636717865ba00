"""Where events are published and read back in order: one file a broker, one contract in `base`."""
