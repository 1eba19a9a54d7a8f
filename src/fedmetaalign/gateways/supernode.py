"""A device: Flower's SuperNode as a child, whose log becomes a few sentences for the person beside it.

The SuperNode asks its server for work, which answers when there is some; a process beside it does the work. It
outlasts a server that is not there yet, or not there any more; one that refuses it ends it.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import tomli_w

from fedmetaalign.errors import RunError
from fedmetaalign.fleet.patterns import is_pattern
from fedmetaalign.gateways import addresses, pace, processes
from fedmetaalign.gateways.superlink import SuperLink
from fedmetaalign.system.locking import LINGER, BusyError, Lock, alone

AFTERLIFE = 90.0
"""Seconds in which a server may refuse a device that it takes for still there; Flower's are 60."""

_JOINED = re.compile(r"SuperNode ID: ")
_WORK = re.compile(r"Receiving: (\S+) message")
_WORKS = {
    "query.introduce": "tells the server who it is",
    "train.visit": "trains in the serial tour",
    "train.train": "trains in a parallel round",
    "train.finish": "makes its own model",
}
_LOST = re.compile(r"Connection attempt failed")
_FOUND = re.compile(r"Connection successful")
_NOT_LET_IN = re.compile(r"\[code: 2004\]")
# Flower's SuperNode keeps what it has begun with such a message, and from then on sends each answer only when
# the next question has come: that is, none in time.
_OUT_OF_STEP = re.compile(r"Run ID \d+ is not in `RUNNING` status\. Ignoring message ")
_CERTIFICATE = re.compile(r"certificate verify failed: (.*?) \(_ssl")


def run_device(
    name: str, tables: Path | Sequence[Path], server: str, keys: Path | None, state: Path, insecure: bool
) -> None:
    """Takes part in a fleet until this process is stopped by SIGINT or SIGTERM.

    Standard error says what happens; Flower's own log is STATE/supernode.log. STATE/flower is Flower's.

    Args:
        name: of the device; with keys, the server goes by the name that the key was enrolled under.
        tables: the device's samples: files, or folders of them.
        server: HOST:PORT.
        keys: the folder that the operator handed out, with `key` and `ca.crt`; None with `insecure`.
        state: where the device keeps what has to outlast it; made if need be.
        insecure: neither TLS nor authentication, for a server on this machine.

    Raises:
        RunError: an argument cannot be used, the server refuses the device, or the SuperNode fails.
    """
    secured = _secured(server, keys, insecure)
    for table in _several(tables):
        if not table.is_dir() and not is_pattern(str(table)):
            _check_readable(table, f"--table is the file of {name}'s samples")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _alone_at_last(name, state) as lock:
        try:
            superlink = SuperLink(server, keys / "ca.crt" if keys else None)
            came = _wait(name, superlink)
            again = partial(arguments, name, tables, server, state, secured)
            _take_part(name, superlink, state, again, came, lock)
        except KeyboardInterrupt:
            (state / "joined").unlink(missing_ok=True)
            _tell(name, "stopped")


def arguments(
    name: str, tables: Path | Sequence[Path], server: str, state: Path, secured: Sequence[str]
) -> list[str]:
    """Returns what `flower-supernode` is called with, and writes the file that tells the client app the rest.

    Args:
        name: of the device.
        tables: the device's samples: files, or folders of them.
        server: HOST:PORT.
        state: where the device keeps what has to outlast it; a folder that is there.
        secured: how the device and the server are to know each other: ["--insecure"], or the files for TLS.
    """
    config = state / "node.toml"
    where = "\n".join(str(table.resolve()) for table in _several(tables))
    about = {"name": name, "table": where, "state": str(state.resolve())}
    config.write_text(tomli_w.dumps(about))
    runtime = ["--host", "127.0.0.1", "--port", str(addresses.free_port())]
    return ["--superlink", server, "--node-config", str(config), *runtime, *secured]


def _several(tables: Path | Sequence[Path]) -> Sequence[Path]:
    return (tables,) if isinstance(tables, Path) else tables


def serve() -> None:
    """Runs `flower-supernode`, with a process that stays up to answer, and without its waits."""
    from flwr.supernode.cli import flower_supernode

    pace.hurry_supernode()
    flower_supernode()
    # It comes back only after an error that it does not know, and would then wait for its own server thread.
    sys.stdout.flush()
    os._exit(1)


def _secured(server: str, keys: Path | None, insecure: bool) -> list[str]:
    """Checks how the device and its server are to know each other, and returns the arguments for it."""
    host, _ = addresses.split_address(server)
    if insecure:
        if keys:
            raise RunError("--keys and --insecure exclude each other: leave one out.")
        if not addresses.is_loopback(host):
            raise RunError(f"--insecure is for a server on this machine, not for {host}: give --keys.")
        return ["--insecure"]
    if keys is None:
        raise RunError("The device needs its keys: give with --keys the folder that the operator handed out.")
    for file in (keys / "key", keys / "ca.crt"):
        _check_readable(file, "--keys is the folder that the operator handed out")
    return ["--root-certificates", str(keys / "ca.crt"), "--auth-supernode-private-key", str(keys / "key")]


def _check_readable(file: Path, what: str) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise RunError(f"Cannot read {file}: {error.strerror}; {what}.") from None


def _alone(state: Path, patience: float = 0.0) -> Lock:
    """Keeps a second process out of a device's state folder, for as long as this one and its SuperNode live."""
    busy = f"Another device runs in {state}: stop it, or give another --state."
    return alone(state, busy, "give another --state", patience)


def _alone_at_last(name: str, state: Path) -> Lock:
    """Waits for what a process of the same device that was killed has left to end."""
    try:
        return _alone(state)
    except BusyError:
        _tell(name, f"waits up to {LINGER:g} seconds for an earlier process in {state} to end")
        return _alone(state, LINGER)


def _wait(name: str, superlink: SuperLink) -> bool:
    """Waits until the server answers, and tells whether it only came now; finds out what only looks so."""
    if superlink.answers():
        return False
    _tell(name, f"{superlink.address} does not answer yet; trying until it does")
    while not superlink.answers():
        time.sleep(1)
    return True


def _take_part(
    name: str,
    superlink: SuperLink,
    state: Path,
    arguments: Callable[[], Sequence[str]],
    came: bool,
    *locks: Lock,
) -> NoReturn:
    """Runs the SuperNode, which ends by itself only when it cannot go on; one that is out of step is replaced.

    A refusal is not the last word of a server that only came now, and may have yet to register the keys, nor
    for a device that crashed.
    """
    patient = came or (state / "joined").exists()
    deadline = time.monotonic() + AFTERLIFE
    while True:
        code, last = _watch(name, superlink, state, arguments(), *locks)
        if last and _OUT_OF_STEP.match(processes.plain(last[-1])):
            patient, deadline = True, time.monotonic() + AFTERLIFE  # the server may take it for still there
            continue
        reason = processes.last_words(last)
        if not (patient and _NOT_LET_IN.search(reason) and time.monotonic() < deadline):
            raise RunError(_verdict(name, superlink.address, code, reason, state / "supernode.log"))
        _tell(
            name,
            f"{superlink.address} takes it for still there, or does not know its key; trying on for a while",
        )
        time.sleep(5)


def _watch(
    name: str, superlink: SuperLink, state: Path, arguments: Sequence[str], *locks: Lock
) -> tuple[int, Sequence[bytes]]:
    """Runs a SuperNode until it ends or is out of step; returns its exit status and the end of its log."""
    process = processes.launch("flower-supernode", arguments, state / "flower", subprocess.PIPE, *locks)
    assert process.stdout is not None  # noqa: S101
    last: deque[bytes] = deque(maxlen=100)
    reported = ""
    try:
        with (state / "supernode.log").open("wb", buffering=0) as log:
            # Its children write to the same pipe, so that this lasts until the last of them has ended.
            for line in process.stdout:
                log.write(line)
                last.append(line)
                said = processes.plain(line)
                if _OUT_OF_STEP.match(said):
                    break
                if _JOINED.match(said):
                    (state / "joined").touch()
                news = _news(said, superlink)
                if news and news != reported:
                    _tell(name, news)
                    reported = news
    finally:
        processes.stop(process)
        process.stdout.read()
        process.stdout.close()
    return process.returncode, last


def _news(said: str, superlink: SuperLink) -> str:
    """Says what a line of the log means, if it is worth telling."""
    if said.startswith(processes.REPORTED):
        return said.removeprefix(processes.REPORTED).rstrip(".")
    if _JOINED.match(said):
        return f"takes part in the fleet of {superlink.address}"
    if found := _WORK.match(said):
        return _WORKS.get(found[1], f"works on {found[1]}")
    if _LOST.match(said):
        return _loss(superlink)
    if _FOUND.match(said):
        return f"{superlink.address} answers again"
    return ""


def _loss(superlink: SuperLink) -> str:
    """Says what is between a device that takes part and its server; whatever it is may pass."""
    try:
        # The child's own child says that it was lost when the child ends.
        there = superlink.answers()
    except RunError as error:
        return str(error).removesuffix(".")
    return "" if there else f"{superlink.address} does not answer; trying again until it does"


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
