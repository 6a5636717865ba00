"""`nitro emit`: one event, from the command line, into a broker's log."""

from __future__ import annotations

import json
import sys

import nitro
from nitro.cli import broker
from nitro.cli.failures import WRONG, fail, failures_told
from nitro.messages.topics import check_topic

__all__ = ["run"]


def run(topic: str, text: str, url: str, seconds: float) -> None:
    """Emit `text`, which is JSON or `-` for stdin, and wait until the broker has it."""
    if text == "-":
        text = _from_stdin()
    try:
        result = json.loads(text)
    except ValueError as error:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        fail(f"{shown!r} is no JSON: {error}. Quote it for the shell, '{{\"id\": 1}}'; a string is '\"text\"'", WRONG)
    except RecursionError:
        fail("this JSON has too many lists or objects in each other to be sent", WRONG)
    if result is None:
        fail("null is no result, and an event without one reaches no client; emit true or {}", WRONG)
    with failures_told():
        check_topic(topic)  # before a log is made for it
        broker.connect(url, seconds)
        nitro.emit(topic, result=result)
        nitro.flush(timeout_seconds=seconds)


def _from_stdin() -> str:
    if sys.stdin is None:
        fail("- reads the JSON from stdin, which is closed; write the JSON in its place", WRONG)
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        fail(f"what stdin has is no JSON: {error}", WRONG)
