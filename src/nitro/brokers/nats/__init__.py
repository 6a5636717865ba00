"""`nats://`: the log in a JetStream stream."""
