"""Runs: streams that belong to one piece of work, begin, grow, end for good, and can be read from their beginning.

```python
@app.post("/answers", status_code=202)
async def ask(question: str, user: CurrentUser):
    run = await nitro.runs.start(answer(question), user_id=user.id)
    return {"run": run.id}

@app.get("/answers/{id}")
async def follow(id: str, user: CurrentUser) -> Response:
    return await nitro.runs.stream(id, user_id=user.id)

@app.delete("/answers/{id}")
async def cancel(id: str, user: CurrentUser) -> Response:
    return await nitro.runs.cancel(id, user_id=user.id)
```
"""

from __future__ import annotations

from nitro.runs.endpoints import cancel, open, start, stream
from nitro.runs.endpoints import list_of as list
from nitro.runs.errors import RunCancelled, RunEnded, RunFailed, RunLost, RunNotFound, RunTaken
from nitro.runs.record import RunInfo, RunState
from nitro.runs.restarts import Restart, restartable
from nitro.runs.run import Run
from nitro.runs.service import Work

__all__ = [
    "Restart",
    "Run",
    "RunCancelled",
    "RunEnded",
    "RunFailed",
    "RunInfo",
    "RunLost",
    "RunNotFound",
    "RunState",
    "RunTaken",
    "Work",
    "cancel",
    "list",
    "open",
    "restartable",
    "start",
    "stream",
]
