"""Prometheus metrics of this process: `app.mount("/metrics", nitro.metrics.app)`. Needs `nitro-realtime[metrics]`.

```python
app.mount("/metrics", nitro.metrics.app)             # Nitro's metrics alone
REGISTRY.register(nitro.metrics.NitroCollector())    # or beside those of the application, in its own registry
```

Nothing is counted for them that `nitro.statistics()` doesn't have: it is read when they are scraped. With several
workers and `PROMETHEUS_MULTIPROC_DIR`, each worker writes its values there, and any of them answers for all.
"""

from __future__ import annotations

try:
    import prometheus_client as _prometheus_client  # noqa: F401 - whether it is there
except ModuleNotFoundError as _missing:
    raise ImportError("nitro.metrics needs prometheus-client: pip install 'nitro-realtime[metrics]'") from _missing

from nitro.metrics.collector import NitroCollector
from nitro.metrics.exposition import app

__all__ = ["NitroCollector", "app"]
