"""The conformance suite: what every broker has to hold, as tests that anyone who writes one can run.

Derive a class from `LogConformance`, say how a log is made, and let pytest collect it:

```python
class TestMyLog(LogConformance):
    def log(self, namespace="conformance", retention=RETENTION):
        return MyLog("my://127.0.0.1", namespace, retention)
```

Each test gets an instance of its own, and `namespace` gives it names that no other test has. The hooks below `log` do
what an administrator or a fault does; a hook that is not overridden leaves its tests out, which pytest says.
"""

from __future__ import annotations

from nitro.testing.conformance.delivery import DeliveryTests
from nitro.testing.conformance.ends import RETENTION, End, Heard, eventually
from nitro.testing.conformance.faults import FaultTests
from nitro.testing.conformance.log import LogTests

__all__ = ["RETENTION", "End", "Heard", "LogConformance", "eventually"]


class LogConformance(DeliveryTests, FaultTests, LogTests):
    """All the tests. Derive from it, override `log`, and the hooks that your log can do."""
