"""`Entity` under the path that the specification gives it."""

from nitro.entities.entity import Entity

__all__ = ["Entity"]
