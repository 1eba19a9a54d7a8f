"""The fleet in this process: every device's step runs here, as many at once as there are cores."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from threadpoolctl import ThreadpoolController

from fedmetaalign.engine.device_runner import DeviceRunner
from fedmetaalign.federation.engine import Liveness, Replies
from fedmetaalign.federation.messages import Reply, Request, Train, Update
from fedmetaalign.federation.spool import MOST, Spool, Spooled
from fedmetaalign.fleet.placement import relatives
from fedmetaalign.model.target import ONE_SIDED
from fedmetaalign.system.cores import cores


class LocalEngine:
    """Runs the devices' steps on threads; compiled training releases the interpreter, so they use all cores."""

    def __init__(self, runners: Iterable[DeviceRunner], workers: int | None = None) -> None:
        """Prepares the fleet; `workers` is the number of threads, by default one a core."""
        self._runners = {r.device.name: r for r in sorted(runners, key=lambda r: r.device.name)}
        self._workers = workers or cores()
        self._pools = ThreadpoolController()  # to find the libraries takes as long as many a request

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that take part in the rounds, sorted by name."""
        return tuple(name for name, each in self._runners.items() if each.device.known != "nothing")

    @property
    def everyone(self) -> tuple[str, ...]:
        """All devices, sorted by name."""
        return tuple(self._runners)

    def liveness(self) -> Mapping[str, Liveness]:
        """All devices are there, and seen right now."""
        return dict.fromkeys(self.everyone, Liveness(True, time.time()))

    def families(self) -> Mapping[str, int]:
        """Tells the family of each device."""
        return relatives({name: r.device.preparation.sensors for name, r in self._runners.items()})

    def one_sided(self) -> frozenset[str]:
        """Tells which devices have samples of one kind alone."""
        return frozenset(name for name, each in self._runners.items() if each.device.known in ONE_SIDED)

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        """Asks the named devices; here everybody answers, so that nobody has to be waited for."""
        spool = None
        if isinstance(request, Train) and len(names) * request.weights.nbytes > MOST:
            spool = Spool(len(request.weights))
        return self._answered(dict.fromkeys(names, request), spool)

    def first(self, requests: Mapping[str, Request[Reply]], count: int) -> Replies[Reply]:
        """Asks the first of them: what the others are at work on is done when it is their turn."""
        return self._answered({name: requests[name] for name in [*requests][:count]})

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        """Asks each device something of its own, as many at once as there are cores."""
        return self._answered(requests)

    def _answered(self, requests: Mapping[str, Request[Reply]], spool: Spool | None = None) -> Replies[Reply]:
        asked = [self._runners[name] for name in requests]

        def answer(runner: DeviceRunner) -> Reply:
            reply = runner.answer(requests[runner.device.name])
            if spool is None or not isinstance(reply, Update):
                return reply
            return cast(Reply, Spooled(reply, spool))

        # The longest first, so that no core is left alone with it at the end.
        asked.sort(key=lambda runner: -len(runner.device.own.support))
        # A matrix product on several threads would take the cores from the other devices, and mostly wait.
        with self._pools.limit(limits=1, user_api="blas"), ThreadPoolExecutor(self._workers) as pool:
            several = pool.map if self._workers > 1 else map  # one more thread would only be waited for
            replies = several(answer, asked)
            answers = {runner.device.name: reply for runner, reply in zip(asked, replies, strict=True)}
        return Replies(dict(sorted(answers.items())))
