"""The nemesis: faults against real workers on a real broker, judged by the oracle, for your own set-up, too.

```sh
python -m nitro.testing.nemesis --broker-url redis://127.0.0.1:6379 --minutes 10 --seed 7 \
    --fault restart='docker restart redis' --may-lose restart
```

Workers are uvicorn processes, each at a port of its own; producers are processes, which write down what they emit and
what came of it; readers are raw sockets that are cut, stop reading, are away, and come back at another worker. Faults
strike by chance, with a seed. At the end nothing may be lost, doubled or reordered, no gap may be told without a
reason, and each worker has to have delivered again within ten seconds after each fault.
"""

from __future__ import annotations

from nitro.testing.nemesis.fault import Fault, shell_fault
from nitro.testing.nemesis.judge import Findings, judge
from nitro.testing.nemesis.run import Plan, RunFailed, run

__all__ = ["Fault", "Findings", "Plan", "RunFailed", "judge", "run", "shell_fault"]
