"""Failures of a command: one line on stderr with the remedy, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import typer

from nitro.cli.screen import visible
from nitro.errors import BrokerRefused, BrokerUnavailable, NitroError, StreamRefused

__all__ = ["AWAY", "WRONG", "fail", "failures_told", "tell"]

AWAY: Final = 1
"""Exit code if the same command may work another time: a server is away, or refuses."""
WRONG: Final = 2
"""Exit code if the command has to be written otherwise."""
_HINT: Final = "; pass --header 'Authorization: Bearer …'"


def tell(text: str) -> None:
    """Say it in one line on stderr."""
    print(visible(f"nitro: {' '.join(text.split())}"), file=sys.stderr)


def fail(text: str, code: int) -> NoReturn:
    """End the command with this line and this exit code."""
    tell(text)
    raise typer.Exit(code)


@contextmanager
def failures_told() -> Iterator[None]:
    """Nitro's errors inside are told in one line."""
    try:
        yield
    except StreamRefused as error:
        fail(f"{error}{_HINT if error.status == 401 else ''}", AWAY)
    except BrokerRefused as error:
        fail(str(error), WRONG)
    except BrokerUnavailable as error:
        fail(str(error), AWAY)
    except (NitroError, ImportError) as error:
        fail(str(error), WRONG)
