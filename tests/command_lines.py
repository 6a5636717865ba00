"""Commands as the documentation shows them, checked without being run: each by the parser of its own program.

So a block of shell needs no test of its own if what counts is that its programs, options and targets exist. What has to
have an effect is run by a test, and other programs are unknown here.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from typing import Final

import typer.main
from gunicorn.config import Config  # type: ignore[import-untyped] # it has no types
from packaging.requirements import Requirement
from uvicorn.main import main as uvicorn

from nitro.cli.app import app
from tests.documents import ROOT

__all__ = ["NITRO", "UVICORN", "UnknownCommand", "check", "commands"]

NITRO: Final = typer.main.get_group(app)
UVICORN: Final = uvicorn
_PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_MAKEFILE: Final = (ROOT / "Makefile").read_text(encoding="utf-8")


class UnknownCommand(LookupError):
    """There is no such program, or it has no such option."""


def commands(script: str) -> Iterator[list[str]]:
    """The words of each command of a shell script, without the variables that are set before it.

    Raises:
        UnknownCommand: a line is not whole.
    """
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        try:
            found = [*lexer, ";"]
        except ValueError as error:
            raise UnknownCommand(f"{line!r} can't be read: {error}") from error
        for word in found:
            if not set(word) <= set("|&;"):
                if words or not re.match(r"[A-Z_]+=", word):
                    words.append(word)
            elif words:
                yield words
                words = []


def check(words: list[str]) -> None:
    """See that this command can be given.

    Raises:
        UnknownCommand: there is no such command, its parser refuses it, or none is known here.
    """
    if words[0] not in _PROGRAMS:
        raise UnknownCommand(f"no parser here knows {words[0]!r}")
    try:
        _PROGRAMS[words[0]](words[1:])
    except UnknownCommand:
        raise
    except (Exception, SystemExit) as error:  # each parser has its own
        raise UnknownCommand(str(error) or "its parser refuses it") from error


def _nitro(arguments: list[str]) -> None:
    if arguments == ["--help"]:
        return
    with NITRO.make_context("nitro", arguments[:1]) as context:
        command = NITRO.get_command(context, arguments[0])
        if command is None:
            raise UnknownCommand(f"nitro has no command {arguments[0]!r}")
        with command.make_context(arguments[0], arguments[1:], context) as inner:
            rest = inner.args
    if arguments[0] == "serve":
        rest = ["app:app", *rest]  # its own
    if arguments[0] in ("run", "serve"):
        _uvicorn(rest)


def _uvicorn(arguments: list[str]) -> None:
    with UVICORN.make_context("uvicorn", arguments):
        """Its options are parsed."""


def _python(arguments: list[str]) -> None:
    if arguments[:2] == ["-m", "nitro"]:
        _nitro(arguments[2:])
    elif arguments[0] == "-m" and importlib.util.find_spec(arguments[1]) is None:
        raise UnknownCommand(f"there is no module {arguments[1]!r}")
    elif arguments[0] != "-m":
        raise UnknownCommand(f"a test has to run {arguments[0]!r}")


def _pip(arguments: list[str]) -> None:
    if arguments[0] != "install":
        raise UnknownCommand(f"only pip install is known here, not pip {arguments[0]}")
    for requirement in map(Requirement, arguments[1:]):
        unknown = requirement.extras - _PROJECT["optional-dependencies"].keys()
        if requirement.name == _PROJECT["name"] and unknown:
            raise UnknownCommand(f"{requirement.name} has no extra {', '.join(unknown)}")


def _npm(arguments: list[str]) -> None:
    name = json.loads((ROOT / "js/package.json").read_text(encoding="utf-8"))["name"]
    if arguments != ["install", name]:
        raise UnknownCommand(f"only npm install {name} is known here")


def _make(arguments: list[str]) -> None:
    for word in arguments:
        name, equals, _ = word.partition("=")
        if not re.search(rf"\$\([^()]*\b{name}\b" if equals else rf"^{name}:", _MAKEFILE, re.MULTILINE):
            raise UnknownCommand(f"the Makefile has no {name!r}")


def _pytest(arguments: list[str]) -> None:
    option, plugin = arguments
    if option != "-p" or importlib.util.find_spec(plugin) is None:
        raise UnknownCommand(f"there is no plugin {plugin!r}")


_PROGRAMS: Final[dict[str, Callable[[list[str]], object]]] = {
    "export": lambda arguments: None,
    "gunicorn": lambda arguments: Config().parser().parse_args(arguments),
    "make": _make,
    "nitro": _nitro,
    "npm": _npm,
    "opentelemetry-instrument": check,
    "pip": _pip,
    "pytest": _pytest,
    "python": _python,
    "uvicorn": _uvicorn,
}
