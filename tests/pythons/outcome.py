"""What came of the suite on one Python: how many tests passed, which failed, and why others were skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["Outcome"]


class Outcome:
    """Attributes:
    name: of the Python, such as `"3.14"`.
    trouble: what went wrong beside the tests.
    without: packages that could not be installed.
    differences: from development.lock.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.trouble: list[str] = []
        self.without: list[str] = []
        self.differences: list[str] = []
        self.seconds = 0.0
        self._counts: Counter[str] = Counter()
        self._failed: list[str] = []
        self._skipped: Counter[str] = Counter()

    @property
    def is_good(self) -> bool:
        return not self._failed and not self.trouble and self._counts["passed"] > 0

    def add(self, results: Path) -> None:
        """Count what pytest wrote as JUnit's XML."""
        for case in ElementTree.parse(results).iter("testcase"):
            ends = [child for child in case if child.tag in ("failure", "error", "skipped")]
            kind = ends[0].tag if ends else "passed"
            self._counts[kind] += 1
            if kind == "skipped":
                self._skipped[ends[0].get("message") or "without a reason"] += 1
            elif kind != "passed":
                self._failed.append(f"{case.get('classname')}::{case.get('name')}")

    def lines(self) -> Iterator[str]:
        """The summary."""
        counts = self._counts
        failed = counts["failure"] + counts["error"]
        told = f"{counts['passed']} passed, {failed} failed, {counts['skipped']} skipped"
        yield f"{'ok    ' if self.is_good else 'FAILED'}  Python {self.name}: {told}, {self.seconds / 60:.0f} minutes"
        yield from (f"        {line}" for line in self.trouble)
        yield from (f"        failed: {name}" for name in self._failed)
        yield from (f"        NOT INSTALLED, and its tests skipped: {package}" for package in self.without)
        yield from (f"        {line}" for line in self.differences)
        yield from (f"        SKIPPED {count}: {reason}" for reason, count in self._skipped.most_common())
