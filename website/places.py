"""Where things are: the repository, what is built from it, and the addresses of both. Feeds the other modules."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

__all__ = ["CONFIGURATION", "ROOT", "SITE", "SITE_URL", "SOURCE_URL", "STAGE"]

ROOT: Final = Path(__file__).parent.parent
STAGE: Final = ROOT / ".site"
"""What Zensical reads: the pages with everything in them, and its configuration."""
SITE: Final = ROOT / "site"
"""What it writes, ready to be served."""
CONFIGURATION: Final = Path(__file__).with_name("zensical.toml")

_urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
SITE_URL: Final[str] = _urls["Documentation"]
SOURCE_URL: Final[str] = _urls["Source"]
