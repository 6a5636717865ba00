"""Messages: topics and patterns, identities, messages and their positions in the log. Pure, without I/O."""
