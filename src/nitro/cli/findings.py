"""What `nitro doctor` has found: facts, and what is wrong, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Finding", "Findings"]


class Finding(NamedTuple):
    """Something that is wrong.

    Attributes:
        check: its name, for programs.
        what: what is so, and what comes of it.
        remedy: what to do.
    """

    check: str
    what: str
    remedy: str


@dataclass
class Findings:
    """Filled by the checks, in their order.

    Attributes:
        facts: name → how things stand.
        wrong: what to change.
    """

    facts: dict[str, str] = field(default_factory=dict)
    wrong: list[Finding] = field(default_factory=list)

    def add(self, check: str, what: str, remedy: str) -> None:
        self.wrong.append(Finding(check, what, remedy))
