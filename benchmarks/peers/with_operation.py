"""nitro as `with_nitro` has it, and all to operate it: metrics, health, the inspector, and tracing that is off."""

import nitro
import nitro.otel  # which traces once it is told to
from peers.with_nitro import app

app.mount("/metrics", nitro.metrics.app)
app.mount("/health", nitro.health)
app.mount("/inspector", nitro.inspector(authenticate=lambda request: request.client is not None))
