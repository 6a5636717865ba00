"""gunicorn's worker class with direct streams, as docs/about/performance.md says."""

from __future__ import annotations

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]


class DirectWorker(UvicornWorker):  # type: ignore[misc]
    """Hands connections of streams over."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"http": "nitro.uvicorn:HttpProtocol"}
