"""Messages: what travels. Topics and patterns, senders' identities, positions in the log. Pure, without I/O."""
