"""The process's one inspection service, made when somebody first looks; a forked child gets one of its own."""

from __future__ import annotations

import logging
import threading
from typing import Final

from nitro.delivery.process import get_hub
from nitro.inspection.service import InspectionService
from nitro.messages.inspection import Inspection

__all__ = ["get_inspection", "hear"]

log: Final = logging.getLogger("nitro.inspection")

_services: Final[dict[int, InspectionService]] = {}
_making: Final = threading.Lock()


def get_inspection() -> InspectionService:
    """The service of this process."""
    hub = get_hub()
    with _making:
        service = _services.get(id(hub))
        if service is None:
            _services.clear()  # that of the parent, or of a hub that a test has replaced
            service = _services[id(hub)] = InspectionService(hub)
        return service


def hear(payload: bytes) -> None:
    """What an inspector says in the log; called by the hub, in a thread of its own."""
    order = Inspection.parse(payload)
    if order is None:
        log.debug("an entry of the log says nothing that an inspector can say")
    else:
        get_inspection().hear(order)
