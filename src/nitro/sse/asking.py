"""Asking the application: who may do what is told by its own functions, which may be coroutine functions or not."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

__all__ = ["asking"]


def asking(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """What calls `function` and returns what it answers; unless it is a coroutine function, in a thread, as Starlette
    calls endpoints. An awaitable that is answered is awaited.
    """
    call = getattr(function, "__call__", None)  # noqa: B004 - an object's own method may be a coroutine function
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)

    async def ask(*arguments: Any) -> Any:
        answer = function(*arguments) if is_async else await run_in_threadpool(function, *arguments)
        return await answer if inspect.isawaitable(answer) else answer

    return ask
