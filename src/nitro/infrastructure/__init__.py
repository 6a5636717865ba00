"""Import paths of the specification; the code is one level up, in `nitro.events`, `nitro.clients` and so on."""
