"""How Flower's SuperNode waits: not in its fixed steps of half a second and of three.

Flower lets nobody choose the steps, so its modules are given another clock, another way to start the SuperExec,
and other pauses before it asks again for what is still on its way.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

ANSWERER = "fedmetaalign.engine.flower.forking"

IDLE = 1.0
"""Seconds between two questions for work to a server that does not hold the first, as ours does."""

_HELD = 0.5
_FIRST, _LONGEST = 0.01, 0.25
_LOOP, _GRID = "flwr.supernode.start_client_internal", "flwr.superlink.grid.http_grid"


def hurry_supernode() -> None:
    """Makes this process's SuperNode start `ANSWERER` as its SuperExec, and wait no longer than it has to."""
    import flwr.supernode.start_client_internal  # noqa: F401 - the name stands in its package for a function, too

    loop: Any = sys.modules[_LOOP]
    pace = Pace(loop._push_messages)
    loop.subprocess = SimpleNamespace(Popen=pace.start)
    loop.time = SimpleNamespace(sleep=pace.sleep)
    loop._push_messages = pace.answer
    _pull_soon(loop)


def hurry_grid() -> None:
    """Makes the grid of this process ask soon again for an answer whose parts are still on their way."""
    import flwr.superlink.grid.http_grid

    _pull_soon(flwr.superlink.grid.http_grid)


def _pull_soon(module: Any) -> None:
    module.pull_objects = partial(module.pull_objects, initial_backoff=_FIRST)


class Pace:
    """Waits for the server while there is nothing to do, and for the answer to what it has asked.

    Args:
        answer: waits until there is an answer, and sends it.
    """

    def __init__(self, answer: Callable[..., None]) -> None:
        self._answer = answer
        self._answerer: subprocess.Popen[bytes] | None = None
        self._command: Sequence[str] = ()
        self._asked: float | None = None
        self._woke = 0.0

    def start(self, command: Sequence[str]) -> None:
        """Starts what answers; it ends with its standard input."""
        self._command = [sys.executable, "-m", ANSWERER, *command[1:]]
        self._answerer = subprocess.Popen(self._command, stdin=subprocess.PIPE)  # noqa: S603

    def answer(self, **arguments: Any) -> None:
        """Says that there is a message, and sends the answer to it."""
        self._wake()
        self._asked = time.monotonic()
        try:
            self._answer(**arguments)
        finally:
            self._asked = None

    def sleep(self, _: float) -> None:
        """Waits before Flower looks again."""
        now = time.monotonic()
        if self._asked is not None:
            time.sleep(min(max(_FIRST, (now - self._asked) / 20), _LONGEST))
        elif now - self._woke < _HELD:
            time.sleep(IDLE)
        self._woke = time.monotonic()

    def _wake(self) -> None:
        assert self._answerer is not None  # noqa: S101 - Flower starts it first
        if self._answerer.poll() is not None:
            self._answerer.stdin.close()  # type: ignore[union-attr]
            self.start(["", *self._command[3:]])
        with suppress(BrokenPipeError):
            os.write(self._answerer.stdin.fileno(), b"\n")  # type: ignore[union-attr]
