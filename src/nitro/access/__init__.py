"""Access control: which topics a client may hear, and how many clients may connect."""
