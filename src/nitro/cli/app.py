"""The commands and their options, as `nitro --help` shows them."""

from __future__ import annotations

from typing import Annotated

import typer

import nitro
from nitro.cli import broker, emit, log, tail
from nitro.cli import serve as hub
from nitro.cli.failures import WRONG, fail
from nitro.cli.run import serve

__all__ = ["run_app"]

app: typer.Typer = typer.Typer(
    name="nitro",
    help="Nitro real-time: serve an application or a hub, hear and emit events, and look into a log.",
    epilog="Settings are the application's, NITRO_BROKER_URL and NITRO_NAMESPACE above all. Exit codes: 1, a server is "
    "away or refuses; 2, the command is wrong.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_Broker = Annotated[str | None, typer.Option("--broker", metavar="URL", help="The log. Default: NITRO_BROKER_URL.")]
_Seconds = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait for the broker.")
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(nitro.__version__)
        raise typer.Exit


@app.callback()
def _nitro(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version, and exit.")
    ] = False,
) -> None:
    pass


@app.command(
    "tail",
    help="Print messages as they come: coloured on a terminal, JSON lines into a pipe.\n\n"
    "With --url it reads a stream of the application as a browser does, with --broker the log itself. It reconnects by "
    "itself, misses nothing meanwhile, and says where messages are missing. Ctrl-C ends it.",
)
def _tail(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="TOPIC", help="Topics and patterns, quoted: 'todo.*'. Default: all."),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="A stream: http://host/events.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Sent with --url; repeatable.")
    ] = None,
    broker_url: _Broker = None,
    since: Annotated[str, typer.Option("--since", metavar="ID", help="Start behind this message; default: now.")] = "",
    seconds: _Seconds = 5.0,
) -> None:
    if url and broker_url:
        fail("pass --url or --broker, not both", WRONG)
    if header and not url:
        fail("--header belongs to --url", WRONG)
    if url:
        raise typer.Exit(tail.from_url(url, topics or [], tail.parsed_headers(header or []), since))
    chosen = broker.choose(broker_url, must_exist=True, otherwise="--url http://host/events, or ")
    raise typer.Exit(tail.from_broker(chosen, topics or [], since, seconds))


@app.command("emit", help="Emit one event, and wait until the broker has it.")
def _emit(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The event's topic: todo.created.")],
    json: Annotated[str, typer.Argument(metavar="JSON", help="Its result: '{\"id\": 1}'; - reads it from stdin.")],
    broker_url: _Broker = None,
    seconds: _Seconds = 5.0,
) -> None:
    emit.run(topic, json, broker.choose(broker_url, must_exist=False), seconds)


@app.command("log", help="Show what the broker's log holds: a table on a terminal, JSON into a pipe.")
def _log(broker_url: _Broker = None, seconds: _Seconds = 5.0) -> None:
    log.run(broker.choose(broker_url, must_exist=True), seconds)


@app.command(
    "run",
    help="Serve an ASGI application by uvicorn, with direct streams: nitro run main:app --workers 4.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def _run(context: typer.Context) -> None:
    serve(context.args)


@app.command(
    "serve",
    help="Serve a hub: streams for applications that can't hold them, by signed ticket or JSON Web Token. Events come "
    "by the log that they share, or over HTTP.\n\nAll other options are uvicorn's, as of nitro run.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def _serve(
    context: typer.Context,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", envvar="NITRO_SERVE_CONFIG", help="A TOML file.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", envvar="UVICORN_HOST", help="Where it listens.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", envvar="UVICORN_PORT", min=0, max=65535, help="Its port.")
    ] = 8000,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            envvar=["UVICORN_WORKERS", "WEB_CONCURRENCY"],
            min=1,
            help="Processes; more than one share the log of NITRO_BROKER_URL.",
        ),
    ] = 1,
) -> None:
    hub.run(config, ["--host", host, "--port", str(port), *context.args], workers)


def run_app(arguments: list[str]) -> int:
    """Run the command that they ask for; returns the exit code."""
    try:
        app(arguments, prog_name="nitro")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0
