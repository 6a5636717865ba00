"""Parameters with units say them; what they were called before goes on working, and says the new name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import nitro
from nitro import Client, Grant, event_stream
from nitro.delivery.hub import Hub
from nitro.errors import BrokerUnavailable


def test_a_client_goes_on_taking_the_old_name_of_its_timeout(hub: Hub) -> None:
    with pytest.warns(DeprecationWarning, match="send_timeout is called send_timeout_seconds now") as told:
        old = Client(topics=["t"], send_timeout=3)  # type: ignore[call-arg]
    assert [warning.filename for warning in told] == [__file__], "it is told where it was written"
    assert old._membership._limits == Client(topics=["t"], send_timeout_seconds=3)._membership._limits
    assert old._membership._limits != hub.limits
    with pytest.raises(TypeError, match="old name of send_timeout_seconds"):
        Client(topics=["t"], send_timeout=3, send_timeout_seconds=3)  # type: ignore[call-arg]


@pytest.mark.usefixtures("hub")
def test_the_options_of_a_stream_do_too() -> None:
    class Request:
        scope: dict[str, Any] = {"type": "http"}  # noqa: RUF012

    with pytest.warns(DeprecationWarning, match="send_timeout_seconds"):
        response: Any = event_stream(Request(), Grant(["t"]), send_timeout=3)  # type: ignore[call-arg]
    assert response.client._membership._limits.send_timeout_seconds == 3


@pytest.mark.parametrize("function", [nitro.connect_broker, nitro.flush], ids=lambda function: function.__name__)
def test_what_waits_for_a_broker_goes_on_taking_the_old_name_of_its_timeout(
    function: Callable[..., None], hub_with: Callable[..., Hub]
) -> None:
    hub = hub_with(broker_url="redis://127.0.0.1:1/0")
    nitro.emit("t", result=1)
    with pytest.raises(BrokerUnavailable, match=r"0\.1 s"):
        function(0.1)
    with pytest.raises(BrokerUnavailable, match=r"0\.1 s"):
        function(timeout_seconds=0.1)
    with (
        pytest.warns(DeprecationWarning, match="timeout is called timeout_seconds now"),
        pytest.raises(BrokerUnavailable, match=r"0\.1 s"),
    ):
        function(timeout=0.1)
    assert list(inspect.signature(function).parameters) == ["timeout_seconds"]
    hub.broker.close(0.1)
