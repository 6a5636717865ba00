"""`nitro asyncapi`: an AsyncAPI document of the events that have a schema."""

from __future__ import annotations

import json

from nitro.cli.application import imported
from nitro.cli.document import check_events, check_output, command_of, give
from nitro.events.asyncapi import asyncapi_of
from nitro.events.event import default_namespace

__all__ = ["run"]


def run(
    app: str, output: str | None, title: str, version: str, directory: str, *, is_factory: bool, only_checks: bool
) -> int:
    """Write the document of an application's events, or check that it is written.

    Args:
        app, directory, is_factory: the application, as for `imported`.
        output, only_checks: where the document goes, as for `give`, whose exit code it returns.
        title, version: of the application; empty for what a FastAPI application says, else its name and 0.0.0.
    """
    check_output(output, only_checks=only_checks, such_as="asyncapi.json")
    found = imported(app, directory, is_factory=is_factory)
    check_events(app)
    told = {name: getattr(found, name, None) for name in ("title", "version", "description")}
    said = {name: value for name, value in told.items() if isinstance(value, str)}
    document = asyncapi_of(
        default_namespace,
        title or said.get("title") or app,
        version or said.get("version") or "0.0.0",
        said.get("description", ""),
    )
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    options: dict[str, str | bool] = {
        "--title": title,
        "--api-version": version,
        "--app-dir": directory,
        "--factory": is_factory,
    }
    return give(text, app, command_of("asyncapi", app, options), output, only_checks=only_checks)
