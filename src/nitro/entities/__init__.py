"""Entities: validated records with an identity, on SQLModel, that save, find and delete themselves."""
