"""An ear: `nitro.listen` in a thread of its own, by `for` or by `async for`, that keeps what it hears."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import nitro
from nitro.client import Heard, StreamRefused
from nitro.messages.message import Gap
from nitro.testing.conformance import eventually

WAYS = ("for", "async for")


class Ear:
    """Iterates in its thread until it is left, or refused."""

    def __init__(self, way: str, *args: Any, **options: Any) -> None:
        self.listener = nitro.listen(*args, **options)
        self.heard: list[Heard | Gap] = []
        self.refused: StreamRefused | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._listen if way == "for" else self._listen_in_loop, daemon=True)
        self.thread.start()

    @property
    def data(self) -> list[Any]:
        return [each.data if isinstance(each, Heard) else each.reason for each in self.heard]

    def until(self, *wanted: Any) -> None:
        eventually(lambda: self.data == list(wanted), f"{wanted} were heard, not {self.data}", 15)

    def until_refused(self, status: int) -> StreamRefused:
        self.thread.join(15)
        assert self.refused is not None
        assert self.refused.status == status
        return self.refused

    def close(self) -> None:
        if self._loop is None:
            self.listener.close()
        else:
            asyncio.run_coroutine_threadsafe(self.listener.aclose(), self._loop)
        self.thread.join(10)
        assert not self.thread.is_alive(), "it goes on although it was closed"

    def _listen(self) -> None:
        try:
            for message in self.listener:
                self.heard.append(message)
        except StreamRefused as error:
            self.refused = error

    def _listen_in_loop(self) -> None:
        async def listen() -> None:
            self._loop = asyncio.get_running_loop()
            async for message in self.listener:
                self.heard.append(message)

        try:
            asyncio.run(listen())
        except StreamRefused as error:
            self.refused = error
        finally:
            self._loop = None

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
