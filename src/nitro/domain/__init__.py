"""What Nitro speaks of: topics, messages and entities. Pure; nothing here does I/O by itself."""
