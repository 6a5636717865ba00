"""Access: who may hear what, and who may come in."""
