"""What `tests.apps.pages` serves, and beside it, at `/`, the files that a bundler wrote into `BUNDLE`."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tests.apps import pages

app = Starlette(routes=[*pages.app.routes, Mount("/", StaticFiles(directory=os.environ["BUNDLE"], html=True))])
