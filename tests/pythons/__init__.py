"""The suite on each Python that users have, and with the least versions of what it is built on: `make test-all`."""
