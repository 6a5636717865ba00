"""How events get from an emit to a browser: brokers, delivery, server-sent events, and what applications call."""
