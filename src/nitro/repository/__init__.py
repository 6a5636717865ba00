"""The database behind entities: `SQLModelRepository`, and the one that entities share by default."""

from __future__ import annotations

from nitro.repository.repository import SQLModelRepository, default_repository

__all__ = ["SQLModelRepository", "default_repository"]
