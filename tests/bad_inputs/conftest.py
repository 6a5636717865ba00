"""Who is beside each bad input: a client in this process, or a stream of a server that all of these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nitro.delivery.hub import Hub
from tests.bad_inputs.witnesses import APP, HISTORY, OF_ONE_USER, Bystander, Neighbour
from tests.servers import Server


@pytest.fixture
def bystander(hub: Hub) -> Iterator[Bystander]:
    with Bystander() as connected:
        yield connected


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """One with a short memory and few places for each user."""
    limits = {"NITRO_HISTORY_MESSAGES": str(HISTORY), "NITRO_MAX_CLIENTS_PER_USER": str(OF_ONE_USER)}
    with Server(APP, environment=limits) as started:
        yield started
    assert "Traceback" not in started.output, started.output
    assert "Warning" not in started.output, started.output


@pytest.fixture
def neighbour(server: Server) -> Iterator[Neighbour]:
    with Neighbour(server) as connected:
        yield connected
