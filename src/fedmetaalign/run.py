"""Executes a recipe: from raw tables to a run folder with a bundle for every device."""

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmetaalign.engine.device_runner import DeviceRunner, Outputs, learner_of, network_of, software
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.errors import BundleError, DataError, RunError
from fedmetaalign.evaluation.summary import summary
from fedmetaalign.federation.engine import Engine
from fedmetaalign.federation.memory import Memory
from fedmetaalign.federation.messages import Finish, Finished
from fedmetaalign.federation.records import Record, RoundError, why
from fedmetaalign.fleet.build import build_shared
from fedmetaalign.fleet.device import Fleet
from fedmetaalign.fleet.resolve import resolved
from fedmetaalign.fleet.shared import Shared, save_shared
from fedmetaalign.fleet.usable import LeftOut, of_left_out
from fedmetaalign.methods import deployable, find
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.phases.asynchronous import check_buffer
from fedmetaalign.phases.budget import all_steps, fleet_steps, own_steps, shared_steps
from fedmetaalign.phases.client import Client, check_finite
from fedmetaalign.phases.conversion import trained_layers
from fedmetaalign.phases.memory_limit import check_ram_of
from fedmetaalign.phases.schedule import pretraining, round_steps
from fedmetaalign.phases.serial import check_tours
from fedmetaalign.phases.server import Round, Server, State, dealt, rounds
from fedmetaalign.phases.size_limit import smallest_bytes, too_large
from fedmetaalign.recipe import Recipe
from fedmetaalign.report.status import Status, utc
from fedmetaalign.run_folder import MEMORY, RUN_ID, SHARED, RunFolder, check_engine, check_memory
from fedmetaalign.tinyml import features


class Watcher:
    """Follows how a run gets on; this one keeps it to itself."""

    def begin(self, steps: int) -> None:
        """The run takes this many training steps."""

    def notice(self, sentence: str) -> None:
        """The user has to know this of the fleet."""

    def phase(self, name: str) -> None:
        """The run is now in this phase."""

    def advance(self, steps: int) -> None:
        """So many more training steps are done; called from several threads."""


def run(
    recipe: Recipe, out: Path | str, resume: bool = False, watcher: Watcher | None = None
) -> dict[str, Any]:
    """Runs a recipe in this process: trains, deploys every device and evaluates.

    Nothing is written before the recipe's data has been read and found usable.

    Args:
        recipe: what to run; its table paths are absolute or relative to the working directory.
        out: the run folder, new or empty; with `resume` one that the same recipe began.
        resume: go on where a checkpoint was left.
        watcher: gets reports of the progress.

    Returns:
        What results.json holds.

    Raises:
        FedMetaAlignError: the method cannot run on the recipe, or the data, the folder or the training failed;
            the sentence says how.
    """
    recipe, out = resolved(recipe), Path(out)
    method = deployable(recipe, elsewhere=False)
    watcher = watcher or Watcher()
    clock = Clock()
    with clock.measure("data"):
        fleet, shared = checked_fleet(recipe)
    check_buffer(recipe, len(fleet.devices))
    for sentence in fleet.notices:
        watcher.notice(sentence)
    keeps = method.remembers or recipe.transport.send != "float32"
    if resume and keeps:
        check_engine(out / RUN_ID, "over Flower, with --engine flower or `fedmetaalign server`")
    with RunFolder.reopen(out, recipe) if resume else RunFolder.create(out, recipe) as folder:
        save_shared(shared, out / SHARED)
        learner = learner_of(recipe, fleet.target, watcher.advance)
        engine = LocalEngine(
            DeviceRunner(
                Client(recipe, device, learner, Memory(out / MEMORY / device.name)),
                method,
                Outputs(fleet.test[device.name], out / "devices" / device.name),
            )
            for device in (*fleet.devices, *fleet.unlabelled_devices)
        )
        server = Server(recipe, engine, learner, fleet.public)
        plan = pretraining(server) + method.rounds(server)
        state = (folder.restore(learner.network.parameters) if resume else None) or State(learner.initial())
        if keeps and any(each.phase == "parallel" for each in plan[: state.done]):
            check_memory(out / MEMORY)
        watcher.begin(training_steps(recipe, fleet, plan, state.done))
        status = Status(out, engine.liveness, fleet.notices, fleet.gaps)
        return execute(
            recipe, engine, plan, state, folder, fleet.files, status, watcher, clock, left_out=fleet.left_out
        )


def execute(
    recipe: Recipe,
    engine: Engine,
    plan: list[Round],
    state: State,
    folder: RunFolder,
    files: Mapping[str, str],
    status: Status,
    watcher: Watcher,
    clock: "Clock",
    patience: float = 0.0,
    left_out: Sequence[LeftOut] = (),
) -> dict[str, Any]:
    """Carries a recipe out on any engine, and writes the run folder.

    Args:
        recipe: what to run.
        engine: reaches the devices.
        plan: the rounds of phases 0 to 2.
        state: where to begin.
        folder: the run's.
        files: sha256 of the files that were read.
        status: is kept up to date.
        watcher: gets reports of the phases.
        clock: adds up the seconds of each phase.
        patience: seconds to wait in phase 3 for a device that is not there.
        left_out: devices that cannot be used.

    Returns:
        What results.json holds.

    Raises:
        FedMetaAlignError: training failed, no device finished, or the folder cannot be written.
    """
    began, resumed_after = utc(time.time()), state.done
    with status.of_failure():
        state = _train(plan, state, folder, status, watcher, clock)
        watcher.phase("personalize")
        status.update("running", "personalize")
        with clock.measure("personalize"):
            receivers = _receivers(recipe, engine, status, watcher)
            others = tuple(name for name in receivers if name not in engine.names)
            answers: dict[str, Finished] = {}
            failed: list[Record] = []
            finals = find(recipe.method).finals(engine.names, state)
            for final, asked in dealt(finals, others, engine.families()):
                request = Finish(
                    final.weights, 1, len(engine.names), final.stages, final.vectors, counts=final.counts
                )
                replies = engine.exchange(asked, request, patience)
                answers |= replies.answers
                failed += replies.failed_records(3, 1)
        # No checkpoint: this phase is short, and a run that is stopped in it does it again.
        finished = [answers[name] for name in sorted(answers)]
        folder.log([record.to_dict() for each in finished for record in each.records] + failed)
        if not finished:
            raise RunError(f"No device finished phase 3{why(failed)}: see to them, then use --resume.")
        devices = {name: answers[name].result for name in sorted(answers)}
        grouped = {name: final.group for final in finals if final.group for name in final.names}
        results = {
            "devices": {name: result.to_dict() for name, result in devices.items()},
            "fleet": summary(devices) | ({"groups": dict(sorted(grouped.items()))} if grouped else {}),
        } | of_left_out(left_out)
        folder.write_json("results.json", results)
        folder.write_json(
            "manifest.json",
            {
                "versions": software() | {"python": platform.python_version()},
                "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
                "seed": recipe.seed,
                "data": dict(files),
                "started": began,
                "resumed_after_rounds": resumed_after,
                "missed": folder.missed(),
                "notices": [*status.notices],
                **({"gaps": status.gaps} if status.gaps else {}),
                "seconds": clock.seconds,
            },
        )
        write_report(folder.path)
    status.end("done")
    return results


def write_report(folder: Path) -> None:
    """Writes the report; what draws it is imported only now, so that training starts sooner."""
    from fedmetaalign.report import write_report as write

    write(folder)


def _receivers(recipe: Recipe, engine: Engine, status: Status, watcher: Watcher) -> tuple[str, ...]:
    """Returns the devices that get a model: those without a label only where there is one of the fleet's."""
    if find(recipe.method).federates:
        return engine.everyone
    for name in sorted(set(engine.everyone) - set(engine.names)):
        sentence = (
            f"{recipe.method} shares nothing that {name} could receive, which has no label: it gets no model."
        )
        status.notices = (*status.notices, sentence)
        watcher.notice(sentence)
    return engine.names


def training_steps(recipe: Recipe, fleet: Fleet, plan: Sequence[Round], done: int = 0) -> int:
    """Returns how many Adam steps the rounds of a plan that are left, phase 3 and the baseline take.

    Of Fed-Meta-Align exactly, of the method `fleet` about; any other method has the same budget, which its
    rounds share.
    """
    devices = len(fleet.devices)
    rivals = [device for device in fleet.devices if device.known == "faults"]  # others are not fine-tuned
    total = tuned = sum(own_steps(recipe, device) for device in rivals)
    if recipe.evaluation.alone:
        total += sum(all_steps(recipe, (device,), devices) for device in rivals)
    left = plan[done:]
    if recipe.method == "fleet":
        tours = sum(each.phase == "serial" for each in left)
        return total - tuned + fleet_steps(recipe, fleet.devices, tours)
    if recipe.method == "fed_meta_align":
        return total + sum(round_steps(recipe, fleet.devices, fleet.public, each) for each in left)
    public = [each for each in left if each.phase == "foundation"]
    total += sum(round_steps(recipe, fleet.devices, fleet.public, each) for each in public)
    shared = sum(shared_steps(recipe, device, devices) for device in fleet.devices)
    return total + round(shared * (len(left) - len(public)) / max(1, len(plan) - (fleet.public is not None)))


def _train(
    plan: list[Round],
    state: State,
    folder: RunFolder,
    status: Status,
    watcher: Watcher,
    clock: "Clock",
) -> State:
    """Runs the rounds that are left, with a checkpoint after each."""
    running = rounds(plan, state)
    for upcoming in plan[state.done :]:
        watcher.phase(upcoming.phase)
        status.update("running", upcoming.phase, upcoming.number, sum(r.phase == upcoming.phase for r in plan))
        try:
            with clock.measure(upcoming.phase):
                done, state, records = next(running)
        except RoundError as error:
            folder.log(error.records)
            raise
        check_finite(state.weights, f"after {done.phase} round {done.number}")
        folder.checkpoint(state, records)
    return state


def checked_fleet(recipe: Recipe) -> tuple[Fleet, Shared]:
    """Makes the recipe's fleet and what it agrees on; what its devices cannot have is known before they train.

    Raises:
        FedMetaAlignError: the data cannot be used, or no model can be so small, or has room in the RAM.
    """
    unusable: dict[str, DataError] = {}
    while True:
        fleet, shared = build_shared(recipe, unusable=unusable)
        check_size(recipe, fleet.target)
        found: dict[str, DataError] = {}
        for device in (*fleet.devices, *fleet.unlabelled_devices):
            try:
                features.check(device.preparation, device.inputs)
            except BundleError as error:
                found[device.name] = DataError(f"Device {device.name}: {error}")
        if not found:
            check_tours(recipe.serial, len(fleet.devices))
            if recipe.deploy.max_ram is not None and recipe.deploy.max_bytes is None:
                network = network_of(recipe, fleet.target)
                for device in fleet.devices:
                    check_ram_of(device, network, trained_layers(network, recipe.personalize), recipe.deploy)
            return fleet, shared
        unusable |= found  # without which the fleet may agree on something else


def check_size(recipe: Recipe, target: Target = BINARY) -> None:
    """Finds out before training whether any model can fit: a file's size does not depend on the weights.

    Raises:
        RunError: none can be so small.
    """
    if recipe.deploy.max_bytes is not None:
        size = smallest_bytes(network_of(recipe, target), recipe.deploy, recipe.personalize)
        if size > recipe.deploy.max_bytes:
            raise too_large(recipe.deploy, size)


@dataclass(frozen=True)
class Clock:
    """Adds up the seconds that each part of a run takes."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Adds the seconds spent in its context to a part."""
        before = time.perf_counter()
        yield
        self.seconds[part] = round(self.seconds.get(part, 0) + time.perf_counter() - before, 3)
