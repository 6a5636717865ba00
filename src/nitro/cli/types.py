"""`nitro types`: TypeScript for pages, of the events that have a schema."""

from __future__ import annotations

from nitro.cli.application import imported
from nitro.cli.document import check_events, check_output, command_of, give
from nitro.cli.failures import WRONG, fail
from nitro.events.declarations import CLIENT, declarations_of
from nitro.events.event import default_namespace

__all__ = ["run"]


def run(app: str, output: str | None, module: str, directory: str, *, is_factory: bool, only_checks: bool) -> int:
    """Write what the events of an application are, or check that it is written.

    Args:
        app, directory, is_factory: the application, as for `imported`.
        output, only_checks: where the document goes, as for `give`, whose exit code it returns.
        module: how pages import the browser client.
    """
    check_output(output, only_checks=only_checks, such_as="events.d.ts")
    if not module or not module.isprintable():
        fail(f"--module is how pages import the client, such as {CLIENT} or /nitro/client.js, not {module!r}", WRONG)
    imported(app, directory, is_factory=is_factory)
    check_events(app)
    options: dict[str, str | bool] = {
        "--module": "" if module == CLIENT else module,
        "--app-dir": directory,
        "--factory": is_factory,
    }
    command = command_of("types", app, options)
    return give(declarations_of(default_namespace, command, module), app, command, output, only_checks=only_checks)
