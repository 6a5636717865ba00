"""The nemesis: injects faults into real workers on a real broker, and checks the deliveries with the oracle.

```sh
python -m nitro.testing.nemesis --broker-url redis://127.0.0.1:6379 --minutes 10 --seed 7 \
    --fault restart='docker restart redis' --may-lose restart
```

Workers are uvicorn processes, each on a port of its own; producers are processes that record what they emit and its
outcome; readers are raw sockets that disconnect, stop reading, pause, and reconnect to another worker. Faults strike at
random, from a seed. At the end nothing may be lost, doubled or reordered, no gap may be without a reason, and each
worker must have delivered again within ten seconds after each fault.
"""

from __future__ import annotations

from nitro.testing.nemesis.fault import Fault, shell_fault
from nitro.testing.nemesis.judge import Findings, judge
from nitro.testing.nemesis.run import Plan, RunFailed, run

__all__ = ["Fault", "Findings", "Plan", "RunFailed", "judge", "run", "shell_fault"]
