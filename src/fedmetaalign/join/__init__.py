"""A device that comes when its fleet is trained gets its bundle; no other device does anything for it.

What it needs is in the run folder (see `trained`), or in a copy without a sample that `export` makes of it,
for a device whose own samples stay where they are.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedmetaalign.engine.device_runner import network_of, software, write_bundle
from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.metrics import measure_classes
from fedmetaalign.federation.messages import Personal, Personalize
from fedmetaalign.fleet import files
from fedmetaalign.fleet.newcomer import Newcomer, newcomer
from fedmetaalign.fleet.tables import safe_name
from fedmetaalign.join.trained import Trained, is_exported, json_bytes, read_trained
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.conversion import RUNTIME
from fedmetaalign.phases.deploy import Deployed, deploy
from fedmetaalign.phases.server import Final
from fedmetaalign.run_folder import sole_writer
from fedmetaalign.system.writing import replace as write
from fedmetaalign.system.writing import writing_to
from fedmetaalign.tinyml import features, runtimes
from fedmetaalign.tinyml.decision import fault_probability

FEWEST = 20
"""Labelled samples with which a device makes the global model its own; with fewer it takes it as it is.

On newcomers among ten feeders (docs/results.md) no method gains by 10 samples over the global model, and three
of four do by 30.
"""

FEW_ROWS = 30
"""Samples below which a device's own moments are a poor guess."""

RECORDS = "joined"
"""In a run folder: what is told of each device that has joined it."""


@dataclass(frozen=True)
class Places:
    """Where a device's bundle goes, and what is told of it."""

    bundle: Path
    record: Path


def join(
    folder: Path,
    tables: Path | Sequence[Path],
    name: str | None = None,
    like: str | None = None,
    test: float = 0.0,
    out: Path | None = None,
    again: bool = False,
) -> tuple[dict[str, Any], Places]:
    """Makes a bundle of a finished run for a device that took no part in it, from the device's own table.

    With at least `FEWEST` labelled samples, both normal ones and faults, the device does what the run's method
    does on a device in the end; else it takes the global weights as they are. Nothing is written before all of
    that is done, and what the run has written stays as it is.

    Args:
        folder: the run's, or what `export` has made of it.
        tables: a table with the features of one of the recipe's sources. Cells of its label may be empty, and
            the label's columns may be missing. Where the recipe says with fleet.window.files what the names of
            files tell, files, folders and patterns of them.
        name: of the device; by default the file's.
        like: whose columns the table has, where that is not clear: a source, or a device.
        test: share of the labelled samples to hold out and to test the model on.
        out: where the bundle goes; by default into the run folder, or to device-NAME.
        again: replace what the device of this name was given when it joined before.

    Returns:
        What is told of the device, and where it and the bundle are.

    Raises:
        FedMetaAlignError: the run cannot be joined, the table or the name cannot be used, training has
            diverged, or the bundle cannot be written.
    """
    trained = read_trained(folder)
    paths = (tables,) if isinstance(tables, Path) else tuple(tables)
    device_name = safe_name(name or paths[0].stem)
    places = _places(folder, device_name, out)
    _check_name(trained, device_name, places, again)
    found = newcomer(trained.recipe, trained.shared, trained.names, paths, device_name, like, test)
    features.check(found.device.preparation, found.calibration.train.x)
    final = _final(trained, found, like)
    personal, did, why = _own(trained, found, final)
    client = Client(trained.recipe, found.calibration, trained.learner)
    deployed = deploy(client, network_of(trained.recipe, trained.shared.target), personal)
    told = {
        "device": device_name,
        "run": {
            "name": trained.recipe.name,
            "method": trained.recipe.method,
            "seed": trained.recipe.seed,
            "devices": len(trained.names),
            **({"group": final.names} if trained.groups else {}),
            "weights": hashlib.sha256(final.weights.tobytes()).hexdigest(),
        },
        "table": {**_digests(found.files), "rows": found.rows, "labelled": found.labelled},
        "samples": dict(found.classes),
        "did": did,
        "why": why,
        "notices": [*found.notices, *_notices(trained, found)],
        "threshold": deployed.threshold.threshold,
        "threshold_note": deployed.threshold.reason,
        "model_bytes": len(deployed.model),
    }
    if len(found.test):
        told["test"] = _tested(trained, found, final, personal, deployed)
    # In a run folder nobody else writes meanwhile, and two devices of one name do not both get it.
    with writing_to(places.record, "call again"), _alone(folder, out):
        _check_name(trained, device_name, places, again)
        told["bundle"] = write_bundle(client, deployed, places.bundle)
        told["versions"] = software()
        places.record.parent.mkdir(parents=True, exist_ok=True)
        write(places.record, json_bytes(told))
    return told, places


def _digests(paths: Sequence[Path]) -> dict[str, Any]:
    """The sha256 of a file, or of each of several."""
    if len(paths) == 1:
        return {"sha256": files.sha256(paths[0])}
    return {"sha256": {str(path): files.sha256(path) for path in paths}}


def _places(folder: Path, name: str, out: Path | None) -> Places:
    if out is None and not is_exported(folder):
        return Places(folder / "devices" / name, folder / RECORDS / f"{name}.json")
    out = out or Path(f"device-{name}")
    return Places(out / "bundle", out / "joined.json")


def _check_name(trained: Trained, name: str, places: Places, again: bool) -> None:
    """Sees that what is written belongs to this device.

    Raises:
        RunError: it does not; the sentence says whose it is.
    """
    if name.casefold() in map(str.casefold, trained.names):
        raise RunError(f"{name} is a device of the fleet, and has its bundle: choose another --name.")
    if again:
        return
    if places.record.exists():
        raise RunError(f"{name} has joined already: choose another --name, or replace its bundle with --again.")
    if places.bundle.exists():
        raise RunError(f"{places.bundle} is there already: remove it, or choose another --name or --out.")


def _alone(folder: Path, out: Path | None) -> AbstractContextManager[object]:
    """Keeps others from writing to a run folder, where the bundle goes there."""
    return sole_writer(folder) if out is None and not is_exported(folder) else nullcontext()


def _final(trained: Trained, found: Newcomer, like: str | None) -> Final:
    """Returns what the device is sent: of several groups' models that which does best on its labelled samples.

    Where these are too few to tell, it is that of the device it is like, or of most devices of its source.
    """
    finals = trained.finals()
    labelled, target = found.device.train, trained.shared.target
    if len(labelled) >= FEWEST and len(np.unique(target.faults(labelled.y))) == 2:
        fill, units = found.device.fill, trained.recipe.model.first
        return min(
            finals, key=lambda each: trained.learner.evaluate(fill.folded(each.weights, units), labelled)[0]
        )
    return max(finals, key=lambda final: (like in final.names, len(found.kin.intersection(final.names))))


def _own(trained: Trained, found: Newcomer, final: Final) -> tuple[Personal, str, str]:
    """Returns the device's model, what was done to get it, and why."""
    part = found.device.parts["personalize"]
    labels = np.concatenate([part.support.y, part.query.y])
    faults, count = int(trained.shared.target.faults(labels).sum()), len(labels)
    mean = trained.mean_member(found.device)
    client = Client(trained.recipe, found.device, trained.learner, federated=(mean,))
    why = ""
    if not count:
        why = "It has no sample with a label to train on."
    elif count < FEWEST:
        why = f"{count} samples with a label are too few to train on: it takes {FEWEST}."
    elif faults in (0, count):
        why = f"Its {count} samples with a label are all {'faults' if faults else 'normal ones'}."
    elif not len(part.support) or not len(part.query):
        why = "Its samples come in too few units or blocks to train on some and judge by the others."
    if why:
        return client.own(client.folded(final.weights)), "took the global model as it is", why
    request = Personalize(
        final.weights, 1, len(trained.names), final.stages, final.vectors, counts=final.counts
    )
    did = f"made the global model its own, as a device does at the end of {trained.recipe.method}"
    return (
        trained.method.personal(client, request),
        did,
        f"It has {count} samples with a label, {faults} of them faults.",
    )


def _notices(trained: Trained, found: Newcomer) -> Iterator[str]:
    """Yields what whoever uses the bundle has to know."""
    unlabelled = found.rows - found.labelled
    if unlabelled and found.labelled:
        yield f"{unlabelled} of its {found.rows} samples have no label."
    if trained.recipe.fleet.scaling == "device" and found.rows < FEW_ROWS:
        yield (
            f"Its {found.rows} samples are few to standardise the device with, and the fleet has agreed on"
            ' nothing better (scaling = "device"): join again with more, labelled or not.'
        )


def _tested(
    trained: Trained, found: Newcomer, final: Final, personal: Personal, deployed: Deployed
) -> dict[str, Any]:
    """Judges the device's models on its held-out samples."""
    test, target, learner = found.test, trained.shared.target, trained.learner

    def judged(probabilities: np.ndarray, threshold: float) -> dict[str, Any]:
        fault = fault_probability(probabilities, target)
        return measure_classes(target, test.y.astype(np.int64), fault, probabilities, threshold).to_dict()

    return {
        "samples": len(test),
        "global": judged(learner.probabilities(final.weights, test.x), 0.5),
        "personalized": judged(personal.probabilities(test.x), personal.threshold.threshold),
        "deployed": judged(runtimes.scores(deployed.network, test.x, RUNTIME), deployed.threshold.threshold),
    }
