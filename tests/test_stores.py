"""Every store of streams against the conformance suite, on real servers that the tests start."""

from __future__ import annotations

from nitro.streams.base import Store
from nitro.streams.stores.memory import MemoryStore
from nitro.testing.conformance.stores import StoreConformance


class TestMemoryStore(StoreConformance):
    def store(self, namespace: str) -> Store:
        return MemoryStore("memory://", namespace)

    def leftovers(self, namespace: str) -> int:
        return len(MemoryStore("memory://", namespace)._shelf.kept)
