"""Flower's processes: what they are started with, and how they end, also when who started them was killed.

A process started here reads its standard input, a pipe that nobody writes to. It ends when the pipe does,
which is when we end, however that happens; the processes that it starts watch it in Flower's own way.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import IO

from fedmetaalign.system import compiled
from fedmetaalign.system.locking import Lock

GRACE = 10.0
"""Seconds that a process has to end by itself; Flower's own exit forces itself after five."""

REPORTED = "fedmetaalign-device: "
"""What a line begins with that a device's app prints for the person beside it."""

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_LEVEL = re.compile(r"^(\S+Z )?(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s*(: *|\[\S+\] )")
_FAILURE = re.compile(r"\bERROR\b|^\S*Error: ")
_NOT_INHERITED = (
    "PYTHONDONTWRITEBYTECODE",  # without it every message, which is a process, takes two to three times longer
    "FLWR_INTERNAL_GRPC_CONTROL_API",  # these open more ports, which have no access filter
    "FLWR_INTERNAL_GRPC_FLEET_API",
)


def environment(home: Path) -> dict[str, str]:
    """Returns what Flower's processes are started with.

    Args:
        home: the folder where Flower keeps its own things.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return inherited | {
        "FLWR_HOME": str(home.resolve()),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        # Seconds; its default of 1 makes every message wait, each look takes an idle device 10 ms of a core.
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",
        "PYTHONUNBUFFERED": "1",
        # Nobody is believed for whom he forwards a request: the access filter goes by who connects.
        "FORWARDED_ALLOW_IPS": "",
        # Each message is a process that would compile the training step anew, 2 s of a core for the paper's
        # network. Where the user has no cache for it, as a service without a home, it is kept beside the rest.
        **(
            {}
            if compiled.VARIABLE in os.environ or compiled.folder()
            else {compiled.VARIABLE: str(home.resolve())}
        ),
        # Flower finds its other programs there.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


def launch(
    program: str, arguments: Sequence[str], home: Path, output: IO[bytes] | int, *locks: Lock
) -> subprocess.Popen[bytes]:
    """Starts one of Flower's programs.

    Args:
        program: "flower-superlink" or "flower-supernode".
        arguments: of its command line.
        home: the folder where Flower keeps its own things.
        output: where all that it and its children print goes.
        *locks: are held by it, too: should we be killed, until it has ended.
    """
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "fedmetaalign.gateways.launcher", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment(home),
        start_new_session=True,  # Ctrl-C is for us: we know in which order to end
        pass_fds=[lock.descriptor for lock in locks],
    )
    # Until somebody waits for it a process that has ended keeps its number, and its children take it for alive.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks a process that was launched here to end, and ends it if it does not, with the rest of its session.

    A SuperLink's SuperExec and ServerApp have sessions of their own. They see that it has ended, and end by
    themselves within `locking.LINGER` seconds; until then they may write to their run folder, which is locked.
    """
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        # They would end by themselves, but one that sleeps between two attempts takes half a minute for it.
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin:
        process.stdin.close()


def plain(line: bytes) -> str:
    """Returns a line of Flower's log without colours, time and level."""
    return _LEVEL.sub("", _without_style(line))


def last_words(log: Iterable[bytes]) -> str:
    """Returns what a process that failed said about it last, as one line."""
    lines = [_without_style(line) for line in log]
    failures = [place for place, line in enumerate(lines) if _FAILURE.search(line)]
    if not failures:
        return next((line for line in reversed(lines) if line), "it said nothing")
    words = _LEVEL.sub("", lines[failures[-1]])
    if words.startswith("Exit Code:"):
        # Flower goes on with the reason, an empty line, and where to read about it.
        words = " ".join(takewhile(bool, lines[failures[-1] + 1 :]))
    return words.rstrip(".")


def _without_style(line: bytes) -> str:
    return _STYLE.sub("", line.decode(errors="replace")).strip()


def end_with_parent() -> None:
    """Ends this process soon after the one that started it has ended, if this is one that Flower watches so.

    Flower does it by a signal, but raises that in another thread: a main thread that waits without end, such as
    for the answer of a server that was killed, never hears of it.
    """
    if "--parent-pid" in sys.argv:
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(GRACE)
    os._exit(1)
