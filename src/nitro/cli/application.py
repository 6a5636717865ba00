"""An application that a command imports, and does not serve."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from typing import Any

from nitro.cli.failures import WRONG, fail

__all__ = ["imported"]


def imported(app: str, directory: str, *, is_factory: bool) -> Any:
    """The application, as uvicorn imports it, which needn't be installed. What it prints is kept out of the output.

    Args:
        app: `main:app`, as for `nitro run`.
        directory: where it is looked for; empty for the current one.
        is_factory: whether `app` is called to get the application.
    """
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
        return found() if is_factory else found
