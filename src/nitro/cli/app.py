"""The commands and their options, as `nitro --help` shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os.path import expanduser
from pathlib import Path
from typing import Annotated

import typer

import nitro
from nitro.cli import asyncapi, broker, emit, log, skill, tail, types
from nitro.cli import serve as hub
from nitro.cli.failures import WRONG, fail, failures_told
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


@contextmanager
def _imported_for(command: str) -> Iterator[None]:
    """What is imported inside takes a while, and only this command needs it: a client of HTTP."""
    with failures_told():
        try:
            yield
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{command} needs the package {error.name!r}: pip install 'nitro-realtime[cli]'"
            ) from error


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
    "doctor",
    help="Find out what is wrong with the settings, the broker's log, and a stream and what it comes through.\n\n"
    "Each finding has its remedy. Nothing is emitted. It takes as long as one heartbeat of the stream. Exit code 1 if "
    "anything is wrong.",
)
def _doctor(
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="A stream, as browsers ask for it: https://example.org/events."),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Sent with --url; repeatable.")
    ] = None,
    broker_url: _Broker = None,
    streams: Annotated[
        int, typer.Option("--streams", metavar="COUNT", min=1, max=1000, help="How many streams to open at once.")
    ] = 20,
    seconds: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait for an answer.")
    ] = 5.0,
) -> None:
    if header and not url:
        fail("--header belongs to --url", WRONG)
    with _imported_for("doctor"):
        from nitro.cli import doctor
    raise typer.Exit(doctor.run(broker_url, url, tail.parsed_headers(header or []), streams, seconds))


@app.command(
    "bench",
    help="Measure a stream as its clients see it: connects, and with a broker also the latency of events.\n\n"
    "With --broker or NITRO_BROKER_URL it emits --rate events a second into the application's log, for all who hear "
    "--topic. Each event counts from the time at which it was due. Ctrl-C ends it with what was measured.",
)
def _bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="A stream: http://host/events.")],
    clients: Annotated[int, typer.Option("--clients", metavar="N", help="Streams that are opened.")] = 100,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", help="How long it measures once they stand.")
    ] = 10.0,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help="Events a second; needs a broker.", show_default="10")
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option("--topic", help="What is emitted, and what clients ask for.", show_default="bench.nitro"),
    ] = None,
    broker_url: _Broker = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Sent to URL; repeatable.")
    ] = None,
    connect_rate: Annotated[
        float, typer.Option("--connects-per-second", metavar="N", help="How fast they connect.")
    ] = 200.0,
    timeout: _Seconds = 5.0,
) -> None:
    with _imported_for("bench"):
        from nitro.cli import bench
        from nitro.cli.load import Offer
    chosen = bench.chosen_broker(broker_url)
    if rate is not None and chosen is None:
        fail("--rate is that of events, which need --broker, or NITRO_BROKER_URL", WRONG)
    if clients < 1:
        fail(f"--clients is at least 1, not {clients}", WRONG)
    for name, value in (("--rate", rate), ("--connects-per-second", connect_rate), ("--seconds", seconds)):
        if value is not None and not 0 < value < float("inf"):
            fail(f"{name} is a number above 0, not {value:g}", WRONG)
    emits = (topic or "bench.nitro") if chosen else None
    asked = emits or topic
    offer = Offer(
        url=url,
        headers=tail.parsed_headers(header or []),
        topics=None if asked is None else [asked],
        emits=emits,
        clients=clients,
        seconds=seconds,
        rate=10.0 if rate is None else rate,
        connect_rate=connect_rate,
    )
    raise typer.Exit(bench.run(offer, chosen, timeout))


_Application = Annotated[str, typer.Argument(metavar="APP", help="As for nitro run: main:app.")]
_Output = Annotated[
    str | None,
    typer.Option("--output", "-o", parser=expanduser, metavar="FILE", help="Where it is written. Default: stdout."),
]
_Checks = Annotated[bool, typer.Option("--check", help="Compare FILE, and write nothing.")]
_Directory = Annotated[
    str,
    typer.Option(
        "--app-dir", parser=expanduser, metavar="DIRECTORY", help="Where APP is; default: here.", show_default=False
    ),
]
_Factory = Annotated[bool, typer.Option("--factory", help="APP is called, and returns the application.")]


@app.command(
    "types",
    help="Write TypeScript for pages: what is sent with each event that has a schema.\n\n"
    "APP is imported as by nitro run, and not served: nitro types main:app -o events.d.ts. Exit code 1 if --check "
    "finds another file.",
)
def _types(
    application: _Application,
    output: _Output = None,
    only_checks: _Checks = False,
    module: Annotated[
        str, typer.Option("--module", metavar="NAME", help="How pages import the browser client.")
    ] = "nitro-realtime",
    directory: _Directory = "",
    is_factory: _Factory = False,
) -> None:
    raise typer.Exit(types.run(application, output, module, directory, is_factory=is_factory, only_checks=only_checks))


@app.command(
    "asyncapi",
    help="Write an AsyncAPI 3 document: a channel for each event that has a schema.\n\n"
    "APP is imported as by nitro run, and not served: nitro asyncapi main:app -o asyncapi.json. Exit code 1 if --check "
    "finds another file.",
)
def _asyncapi(
    application: _Application,
    output: _Output = None,
    only_checks: _Checks = False,
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="Default: the application's.", show_default=False)
    ] = "",
    version: Annotated[
        str, typer.Option("--api-version", metavar="TEXT", help="Default: the application's.", show_default=False)
    ] = "",
    directory: _Directory = "",
    is_factory: _Factory = False,
) -> None:
    code = asyncapi.run(application, output, title, version, directory, is_factory=is_factory, only_checks=only_checks)
    raise typer.Exit(code)


@app.command(
    "skill",
    help="Print what coding agents have to know of Nitro; --to DIR writes it where yours looks for skills.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def _skill(context: typer.Context) -> None:
    raise typer.Exit(skill.run(context.args))


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
        str | None,
        typer.Option("--config", parser=expanduser, metavar="FILE", envvar="NITRO_SERVE_CONFIG", help="A TOML file."),
    ] = None,
    env_file: Annotated[  # noqa: ARG001 - its callback has read it
        Path | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            envvar="UVICORN_ENV_FILE",
            exists=True,
            dir_okay=False,
            callback=hub.load_env_file,
            is_eager=True,
            help="Variables, NAME=value in each line; those that are set win.",
        ),
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
        if isinstance(end.__context__, BrokenPipeError):  # typer's code for it is 1; whoever read the output has gone
            return 0
        return end.code if isinstance(end.code, int) else 0
    return 0
