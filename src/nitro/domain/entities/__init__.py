"""Things with an identity that applications keep: `base_entity.Entity` is what they derive from."""
