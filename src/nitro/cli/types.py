"""`nitro types`: TypeScript for pages, of the events that have a schema."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from nitro.cli.failures import AWAY, WRONG, fail, tell
from nitro.events.declarations import CLIENT, declarations_of
from nitro.events.event import default_namespace

__all__ = ["run"]


def run(app: str, output: str | None, module: str, directory: str, *, is_factory: bool, only_checks: bool) -> int:
    """Write what the events of an application are, or check that it is written.

    Args:
        app: `main:app`, as for `nitro run`.
        output: the file; None for stdout.
        module: how pages import the browser client.
        directory: where the application is looked for; empty for the current one.
        is_factory: whether `app` is called to get the application.
        only_checks: whether the file is compared and not written.

    Returns:
        The exit code: 1 if it is compared and differs.
    """
    if only_checks and output is None:
        fail("--check compares a file; name it by -o events.d.ts", WRONG)
    if not module or not module.isprintable():
        fail(f"--module is how pages import the client, such as {CLIENT} or /nitro/client.js, not {module!r}", WRONG)
    _import(app, directory, is_factory)
    if not any(found.schema for found in default_namespace.values()):
        fail(f"{app} has no event with a schema; give one what it sends: event('todo.created', schema=TodoOut)", WRONG)
    command = f"nitro types {app}" + (f" --module {module}" if module != CLIENT else "")
    text = declarations_of(default_namespace, command, module).encode()
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
        tell(f"{output} is not what the events of {app} are; write it anew: {command} -o {output}")
        return AWAY
    return 0


def _import(app: str, directory: str, is_factory: bool) -> None:
    """As uvicorn does, which needn't be installed. What the application prints is kept out of the output."""
    name, _, path = app.partition(":")
    if not name or not path:
        fail(f"{app!r} is no application; write module:attribute, such as main:app", WRONG)
    sys.path.insert(0, directory)
    with redirect_stdout(sys.stderr):
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # of something that the application imports
            fail(f"there is no module {error.name!r} in {directory or 'this directory'}; is --app-dir right?", WRONG)
        for attribute in path.split("."):
            if not hasattr(found, attribute):
                fail(f"{name!r} has no {path!r}; name the application as for nitro run, such as main:app", WRONG)
            found = getattr(found, attribute)
        if is_factory:
            found()
