"""Events: their handlers, and `emit`, which calls those and hands the result to the delivery."""
