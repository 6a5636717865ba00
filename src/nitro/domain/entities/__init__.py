"""Import paths of the specification; the code is in `nitro.entities`."""
