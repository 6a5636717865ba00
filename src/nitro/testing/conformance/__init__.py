"""The conformance suite: the contract of logs, as tests that you can run against your own.

Derive a class from `LogConformance`, say how a log is made, and let pytest collect it:

```python
class TestMyLog(LogConformance):
    def log(self, namespace="conformance", retention=RETENTION):
        return MyLog("my://127.0.0.1", namespace, retention)
```

Each test gets an instance of its own, and `namespace` returns unique names. The hooks below `log` simulate an
administrator or a fault; the tests of a hook that is not overridden are skipped.
"""

from __future__ import annotations

from nitro.testing.conformance.delivery import DeliveryTests
from nitro.testing.conformance.ends import RETENTION, End, Heard, eventually
from nitro.testing.conformance.faults import FaultTests
from nitro.testing.conformance.log import LogTests

__all__ = ["RETENTION", "End", "Heard", "LogConformance", "eventually"]


class LogConformance(DeliveryTests, FaultTests, LogTests):
    """All the tests. Derive from it, and override `log` and the hooks that your log supports."""
