"""For tests of applications and brokers: an oracle for deliveries, a conformance suite for logs, and the nemesis."""
