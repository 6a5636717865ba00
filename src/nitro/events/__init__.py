"""Events: named signals, their handlers, and `emit`, which calls the handlers and publishes the result."""
