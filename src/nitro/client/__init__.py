"""A client for the streams of `EventSourceResponse`, for Python programs.

```python
async for message in nitro.listen("https://example.org/events", topics=["todo.*"]):
    print(message)
```

Needs `pip install 'nitro-realtime[client]'`.
"""

from __future__ import annotations

from nitro.client.listener import Listener, listen
from nitro.errors import StreamRefused
from nitro.messages.heard import Heard

__all__ = ["Heard", "Listener", "StreamRefused", "listen"]
