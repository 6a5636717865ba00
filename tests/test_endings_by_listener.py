"""A listener is seen to be closed, and nothing else is taken for it."""

from __future__ import annotations

import socket
from pathlib import Path

from nitro.sse.listening_sockets import ListeningSockets
from tests.servers import Server
from tests.sse import Stream


def listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_the_listener_of_an_address_is_found_and_seen_to_close() -> None:
    with listen() as ours, listen() as other:
        listeners = ListeningSockets.of(ours.getsockname())
        assert listeners
        other.close()
        assert not listeners.are_closed()
        ours.close()
        assert listeners.are_closed()


def test_a_descriptor_that_was_given_to_another_socket_is_not_taken_for_the_listener() -> None:
    ours = listen()
    number = ours.fileno()
    listeners = ListeningSockets.of(ours.getsockname())
    ours.close()
    others = [socket.socket() for _ in range(5)]
    assert number in [other.fileno() for other in others]
    assert listeners.are_closed()
    for other in others:
        other.close()


def test_a_copy_that_stays_open_hides_no_end() -> None:
    with listen() as ours, socket.socket(fileno=ours.dup().detach()):
        listeners = ListeningSockets.of(ours.getsockname())
        ours.close()
        assert listeners.are_closed()


def test_a_unix_socket_is_found_by_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(path)
        ours.listen()
        listeners = ListeningSockets.of((path, None))
        assert listeners
        assert not listeners.are_closed()


def test_an_address_where_nobody_listens_has_no_listeners() -> None:
    with listen() as ours, socket.create_connection(ours.getsockname()) as connected:
        for server in (None, ("testserver", 80), connected.getsockname(), ("nowhere", None), "nonsense", 5):
            assert not ListeningSockets.of(server), server


def test_a_server_in_the_same_process_that_closes_ends_no_streams_of_another() -> None:
    with Server("tests.apps.listeners:app") as server, Stream(server.port, "/events") as stream:
        stream.read_until(b"id: ")
        assert server.post("/close-another").json() == "closed"
        server.post("/emit")
        assert stream.events(1)
        assert not stream.is_complete
