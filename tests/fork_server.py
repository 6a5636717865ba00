"""A fork server: a process that has imported libraries, and forks for each `python -m MODULE` that it is asked for.

`tests/forked.py` asks, over the socket that is the first argument; the others are the modules to import in advance. A
message is JSON, with the descriptors of the standard streams and of a pipe, to which the program's id is written and
then its exit code.

This is run as a script, so that nothing of the tests is in the programs but what they import themselves.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, TextIO, cast

NUMBER: Final = struct.Struct("i")
MOST_BYTES: Final = 150_000


def programs(connection: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Fork for each program that is asked for, until nobody can ask. What this yields, it yields in the new process."""
    running: dict[int, int] = {}
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this
    while True:
        ready, _, _ = select.select([connection.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            for pid in list(running):
                ended, code = os.waitpid(pid, os.WNOHANG)
                if ended:
                    told = running.pop(pid)
                    with contextlib.suppress(BrokenPipeError):  # nobody wants to know
                        os.write(told, NUMBER.pack(os.waitstatus_to_exitcode(code)))
                    os.close(told)
        if connection.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(connection, MOST_BYTES, 4)
            if not message:
                return
            *streams, told = descriptors
            pid = os.fork()
            if not pid:
                yield json.loads(message), streams
                return
            os.write(told, NUMBER.pack(pid))
            running[pid] = told
            for stream in streams:
                os.close(stream)


def opened(old: TextIO, mode: str) -> TextIO:
    """The same standard stream, for what its descriptor is now."""
    is_by_line = old is sys.stderr or os.isatty(old.fileno())
    binary = cast("BinaryIO", open(old.fileno(), mode, closefd=False))
    return io.TextIOWrapper(binary, old.encoding, old.errors, line_buffering=is_by_line)


def become(program: dict[str, Any], streams: list[int], path: list[str]) -> None:
    """Be what `python -m` is with these arguments, in this directory and environment."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 4096)
    sys.stdin, sys.stdout, sys.stderr = opened(sys.stdin, "rb"), opened(sys.stdout, "wb"), opened(sys.stderr, "wb")
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["environment"])
    own = os.environ.get("PYTHONPATH", "")
    sys.path[:] = [program["cwd"], *filter(None, own.split(":")), *path]
    sys.argv[:] = program["arguments"]
    importlib.invalidate_caches()
    gc.unfreeze()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def main() -> None:
    descriptor, *modules = sys.argv[1:]
    _, *path = sys.path
    connection = socket.socket(fileno=int(descriptor))
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    for program, streams in programs(connection):
        connection.detach()
        become(program, streams, path)
    connection.close()


if __name__ == "__main__":
    main()
