"""A device: Flower's SuperNode as a child, whose log becomes a few sentences for the person beside it.

The SuperNode asks its server every three seconds for work and starts a process for each piece. It outlasts a
server that is not there yet, or not there any more; one that refuses it ends it.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import tomli_w

from fedmetaalign.engine.flower import processes
from fedmetaalign.engine.flower.superlink import SuperLink
from fedmetaalign.errors import RunError

AFTERLIFE = 90.0
"""Seconds in which a server may take a device that crashed for still there, and refuse it; Flower's are 60."""

_JOINED = re.compile(r"SuperNode ID: ")
_NEWS = (
    (_JOINED, "takes part in the fleet of {server}"),
    (re.compile(r"Receiving: (\S+) message"), "works on {0}"),
    (re.compile(r"Connection attempt failed"), "{server} does not answer; trying again until it does"),
    (re.compile(r"Connection successful"), "{server} answers again"),
)
_NOT_LET_IN = re.compile(r"\[code: 2004\]")
_CERTIFICATE = re.compile(r"certificate verify failed: (.*?) \(_ssl")


def run_device(name: str, table: Path, server: str, keys: Path | None, state: Path, insecure: bool) -> None:
    """Takes part in a fleet until this process is told to stop by SIGINT or SIGTERM.

    What happens is told on standard error; Flower's own log is STATE/supernode.log. STATE/flower is Flower's.

    Args:
        name: of the device; with keys, the server goes by the name that the key was enrolled under.
        table: the device's samples.
        server: HOST:PORT.
        keys: the folder that the operator handed out, with `key` and `ca.crt`; None with `insecure`.
        state: where the device keeps what has to outlast it; made if need be.
        insecure: neither TLS nor authentication, for a server on this machine.

    Raises:
        RunError: an argument cannot be used, the server refuses the device, or the SuperNode fails.
    """
    secured = _secured(server, keys, insecure)
    if not table.is_file():
        raise RunError(f"{table} is not there: give with --table the file of {name}'s samples.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _alone(state):
        try:
            _wait(name, SuperLink(server, keys / "ca.crt" if keys else None))
            config = state / "node.toml"
            about = {"name": name, "table": str(table.resolve()), "state": str(state.resolve())}
            config.write_text(tomli_w.dumps(about))
            _take_part(name, server, state, ["--superlink", server, "--node-config", str(config), *secured])
        except KeyboardInterrupt:
            (state / "joined").unlink(missing_ok=True)
            _tell(name, "stopped")


def serve() -> None:
    """Runs `flower-supernode`."""
    from flwr.supernode.cli import flower_supernode

    flower_supernode()
    # It comes back only after an error that it does not know, and would then wait for its own server thread.
    sys.stdout.flush()
    os._exit(1)


def _secured(server: str, keys: Path | None, insecure: bool) -> list[str]:
    """Checks how the device and its server are to know each other, and returns the arguments for it."""
    host, _ = processes.split_address(server)
    if insecure:
        if keys:
            raise RunError("--keys and --insecure exclude each other: leave one out.")
        if not processes.is_loopback(host):
            raise RunError(f"--insecure is for a server on this machine, not for {host}: give --keys.")
        return ["--insecure"]
    if keys is None:
        raise RunError("The device needs its keys: give with --keys the folder that the operator handed out.")
    for file in (keys / "key", keys / "ca.crt"):
        try:
            file.read_bytes()
        except OSError as error:
            raise RunError(
                f"Cannot read {file}: {error.strerror}; --keys is the folder that the operator handed out."
            ) from None
    return ["--root-certificates", str(keys / "ca.crt"), "--auth-supernode-private-key", str(keys / "key")]


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Keeps a second process out of a device's state folder, for as long as this one lives."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "lock").open("w")
    except OSError as error:
        raise RunError(f"Cannot write to {state}: {error.strerror}; give another --state.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"Another device runs in {state}: stop it, or give another --state.") from None
        yield


def _wait(name: str, superlink: SuperLink) -> None:
    """Waits until the server answers; what only looks like it is found out here."""
    if not superlink.answers():
        _tell(name, f"{superlink.address} does not answer yet; trying until it does")
        while not superlink.answers():
            time.sleep(1)


def _take_part(name: str, server: str, state: Path, arguments: Sequence[str]) -> NoReturn:
    """Runs the SuperNode; it ends by itself only when it cannot go on."""
    crashed = (state / "joined").exists()
    deadline = time.monotonic() + AFTERLIFE
    while True:
        process, last = _watch(name, server, state, arguments)
        reason = processes.last_words(last)
        if not (crashed and _NOT_LET_IN.search(reason) and time.monotonic() < deadline):
            raise RunError(_verdict(name, server, process.returncode, reason, state / "supernode.log"))
        _tell(name, f"{server} takes it for still there, or does not know its key; trying again for a while")
        time.sleep(5)


def _watch(
    name: str, server: str, state: Path, arguments: Sequence[str]
) -> "tuple[subprocess.Popen[bytes], Sequence[bytes]]":
    """Runs a SuperNode until it ends, and returns it with the end of its log."""
    runtime = ["--host", "127.0.0.1", "--port", str(processes.free_port())]
    process = processes.launch("flower-supernode", [*arguments, *runtime], state / "flower", subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101
    last: deque[bytes] = deque(maxlen=100)
    told = ""
    try:
        with (state / "supernode.log").open("wb", buffering=0) as log:
            # Its children write to the same pipe, so that this lasts until the last of them has ended.
            for line in process.stdout:
                log.write(line)
                last.append(line)
                said = processes.plain(line)
                if _JOINED.match(said):
                    (state / "joined").touch()
                news = _news(said, server)
                if news and news != told and process.returncode is None:
                    _tell(name, news)
                    told = news
    finally:
        processes.stop(process)
        process.stdout.read()
        process.stdout.close()
    return process, last


def _news(said: str, server: str) -> str:
    for pattern, news in _NEWS:
        if found := pattern.match(said):
            return news.format(*found.groups(), server=server)
    return ""


def _verdict(name: str, server: str, code: int, reason: str, log: Path) -> str:
    """Says why a SuperNode ended."""
    if _NOT_LET_IN.search(reason):
        return f"{server} does not know the key of {name}: ask its operator to enrol the device."
    if found := _CERTIFICATE.search(reason):
        return f"The ca.crt of {name} does not vouch for {server} ({found[1]}): ask its operator."
    if code == 0:  # which Flower's exit is when the server answers 401
        return f"{server} refuses {name}: its key was revoked, or the clock of this machine is wrong."
    return f"The SuperNode of {name} ended: {reason}; see {log}."


def _tell(name: str, news: str) -> None:
    sys.stderr.write(f"{name}: {news}.\n")
