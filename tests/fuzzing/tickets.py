"""Tickets that strangers make up, change, cut and splice: nobody hears by one what was not signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from itsdangerous import URLSafeTimedSerializer

from nitro import ANY
from nitro.clients.grant import Grant
from nitro.tickets import Tickets
from tests.fuzzing.supply import Supply, text

_SECRET = "a secret of the fuzzer's own"
_OTHERS = "another secret, of somebody else"
_GRANTS = (
    Grant(["todo.*", "user.7.*"], user_id=7),
    Grant({"todo.*": ["s1", "s2"]}, denied=["*.secret"], user_id="é"),
    Grant(ANY, denied={"a.b": "s1"}, expires_at=4e9),
    Grant([]),
)
_EDITS: tuple[Callable[[str, str, str], str], ...] = (
    lambda before, _, __: before,
    lambda _, behind, __: behind,
    lambda before, behind, _: before + behind[1:],
    lambda before, behind, letter: before + "".join(chr(ord(each) ^ ord(letter)) for each in behind[:1]) + behind[1:],
    lambda before, behind, letter: before + letter + behind,
    lambda before, behind, _: before + behind[:1] + behind,
    lambda before, behind, _: before + behind[1:2] + behind[:1] + behind[2:],
    lambda before, behind, _: before + behind[:1].swapcase() + behind[1:],
    lambda before, behind, letter: before + chr(0x100 + ord(letter)) + behind,
)
"""From what stands before a place, what stands behind it, and a letter."""


def ticket(data: bytes) -> None:
    """What the ticket is made of, and then its text, or how it is changed."""
    supply = Supply(data)
    match supply.below(5):
        case 0:
            assert _tickets().read(text(supply.rest())) is None
        case 1:
            assert _tickets().read(supply.rest().decode("utf-8", "surrogateescape")) is None
        case 2:
            _read_spliced(supply)
        case 3:
            _read_signed(supply)
        case _:
            _read_edited(supply)


def _read_spliced(supply: Supply) -> None:
    """A ticket or two, of which one may be signed with another secret, and changes of single characters."""
    first, second = (_GRANTS[supply.below(len(_GRANTS))] for _ in range(2))
    is_mine = supply.byte() & 1 == 0
    tickets = _tickets() if is_mine else _tickets(_OTHERS)
    written, other = tickets.issue(first), tickets.issue(second)
    cut = supply.byte()
    changed = written[: len(written) - cut] + other[len(other) - cut :] if cut else written
    for _ in range(supply.below(4)):
        letters, place, by = list(changed), supply.byte() * 2, supply.byte()
        letters[place : place + 1] = [chr(ord(letter) ^ by) for letter in letters[place : place + 1]]
        changed = "".join(letters)
    _check(changed, {written: first, other: second} if is_mine else {})


def _read_edited(supply: Supply) -> None:
    """A ticket in which some characters are others, more, less or elsewhere."""
    grant = _GRANTS[supply.below(len(_GRANTS))]
    written = edited = _tickets().issue(grant)
    for _ in range(1 + supply.below(3)):
        kind, place = supply.below(len(_EDITS)), len(edited) - int.from_bytes(supply.take(2)) % (len(edited) + 1)
        before, behind = edited[:place], edited[place:]
        edited = _EDITS[kind](before, behind, chr(supply.byte()))
    _check(edited, {written: grant})


def _check(ticket: str, issued: dict[str, Grant]) -> None:
    """What was issued opens what it was issued for, and what differs from it in any character is refused."""
    assert _tickets().read(ticket) == issued.get(ticket)
    assert _of_another_audience().read(ticket) is None


def _read_signed(supply: Supply) -> None:
    """What the right secret has signed, but no `Tickets` has written."""
    try:
        fields = json.loads(supply.rest())
    except (ValueError, RecursionError):
        return
    found = _tickets().read(_signed(fields))
    assert found is None or isinstance(found, Grant)
    assert found is None or fields[4] >= 0, "its time was over when it was issued"
    if found is not None:
        assert _tickets().read(_tickets().issue(found)) == found


def _signed(fields: Any) -> str:
    keywords = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    return str(URLSafeTimedSerializer(_SECRET, salt="nitro.ticket:nitro", signer_kwargs=keywords).dumps(fields))


@cache
def _of_another_audience() -> Tickets:
    return Tickets(_SECRET, seconds=3600, audience="another")


@cache
def _tickets(secret: str = _SECRET) -> Tickets:
    return Tickets(secret, seconds=3600)
