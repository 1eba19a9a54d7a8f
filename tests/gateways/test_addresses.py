"""Ports that are free until they are used."""

import socket

import pytest

from fedmetaalign.errors import RunError
from fedmetaalign.gateways import addresses


def test_a_free_port_is_none_that_a_connection_may_get():
    found = {addresses.free_port() for _ in range(20)}
    assert len(found) > 1 and max(found) < 32_768


def test_one_that_is_taken_is_not_free(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", addresses.free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(addresses, "PORTS", range(port, port + 1))
        monkeypatch.setattr(addresses, "MOST_TRIES", 1)
        with pytest.raises(RunError, match=rf"^No port from {port} to {port} of 127\.0\.0\.1 is free"):
            addresses.free_port()
