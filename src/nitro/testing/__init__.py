"""What tests of applications and brokers need: an oracle for deliveries, and a suite for brokers."""
