"""`nats://`: streams in JetStream, a subject for each."""
