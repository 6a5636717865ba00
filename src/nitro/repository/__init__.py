"""The database of entities: `SQLModelRepository`, and the shared default repository."""

from __future__ import annotations

from nitro.repository.repository import SQLModelRepository, default_repository

__all__ = ["SQLModelRepository", "default_repository"]
