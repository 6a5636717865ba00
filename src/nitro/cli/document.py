"""A document that is made of an application's events: written, printed, or compared with what is there."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from nitro.cli.failures import AWAY, WRONG, fail, tell
from nitro.events.event import default_namespace

__all__ = ["check_events", "check_output", "command_of", "give"]


def check_output(output: str | None, *, only_checks: bool, such_as: str) -> None:
    """A comparison needs a file."""
    if only_checks and output is None:
        fail(f"--check compares a file; name it by -o {such_as}", WRONG)


def check_events(app: str) -> None:
    """There has to be an event that something can be said of."""
    if not any(found.schema for found in default_namespace.values()):
        fail(f"{app} has no event with a schema; give one what it sends: event('todo.created', schema=TodoOut)", WRONG)


def command_of(name: str, app: str, options: Mapping[str, str | bool]) -> str:
    """What makes the document, as a shell takes it, without the output. Options that are empty are left out."""
    words = ["nitro", name, app]
    for option, value in options.items():
        if value:
            words += [option] if value is True else [option, value]
    return shlex.join(words)


def give(document: str, app: str, command: str, output: str | None, *, only_checks: bool) -> int:
    """Write it to `output`, or to stdout, or compare it.

    Args:
        document: what the file has to hold.
        app: the application, for errors.
        command: what makes it, by `command_of`.
        output: the file; None for stdout. One that is right already isn't touched.
        only_checks: whether the file is compared and not written.

    Returns:
        The exit code: 1 if it is compared and differs.
    """
    text = document.encode()
    if output is None:
        sys.stdout.buffer.write(text)
        return 0
    file = Path(output)
    try:
        is_same = file.is_file() and file.read_bytes() == text
        if not is_same and not only_checks:
            file.write_bytes(text)
    except OSError as error:
        fail(f"{output} can't be {'read' if only_checks else 'written'}: {error.strerror or error}", WRONG)
    if only_checks and not is_same:
        tell(f"{output} is not what the events of {app} are; write it anew: {command} -o {shlex.quote(output)}")
        return AWAY
    return 0
