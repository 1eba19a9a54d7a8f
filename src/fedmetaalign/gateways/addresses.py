"""Addresses of the form HOST:PORT, and ports that are free."""

import secrets
import socket
from contextlib import suppress
from ipaddress import ip_address

from fedmetaalign.errors import RunError

PORTS = range(20_000, 32_768)
"""Below those that systems give to connections, one of which could take a port while a process starts."""
MOST_TRIES = 100


def free_port(host: str = "127.0.0.1") -> int:
    """Returns a TCP port that nobody listens on now, and that no connection will be given before it is used.

    Raises:
        RunError: none of many is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in secrets.SystemRandom().sample(PORTS, MOST_TRIES):
        with socket.socket(family) as listener, suppress(OSError):
            listener.bind((host, port))
            return port
    raise RunError(f"No port from {PORTS.start} to {PORTS.stop - 1} of {host} is free: end what uses them.")


def split_address(address: str) -> tuple[str, int]:
    """Takes HOST:PORT apart; an IPv6 host stands in brackets.

    Raises:
        RunError: it is not of that form.
    """
    host, _, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare) != (host != bare) or not port.isdecimal() or not 0 < int(port) < 65536:
        raise RunError(f"{address!r} is not an address: give it as HOST:PORT, as in 192.0.2.7:9092.")
    return bare, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and cannot be reached from another."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
