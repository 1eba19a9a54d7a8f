"""A device's samples as one file that says everything about them, to the last bit."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table, Times
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.preparation import OwnUnit
from fedmetaalign.system.writing import replace, writing_to

SUFFIX = ".safetensors"


def save_table(table: Table, path: Path) -> None:
    """Writes a table but for the kinds of its samples, which only partitions read.

    Raises:
        RunError: the file cannot be written.
    """
    # Row by row: safetensors takes the memory as it lies.
    arrays: dict[str, np.ndarray] = {
        "x": np.ascontiguousarray(table.x, np.float64),
        "y": table.y.astype(np.int8),
    }
    if table.groups is not None:
        arrays["groups"] = np.unique(table.groups, return_inverse=True)[1].astype(np.int64)
    if table.unlabelled is not None:
        arrays["unlabelled"] = np.ascontiguousarray(table.unlabelled, np.float64)
    if table.reserved is not None:
        arrays["reserved"] = table.reserved.astype(np.uint8)
    if table.times is not None:
        arrays["times"] = table.times.values.astype(np.int64)
    if table.dropped is not None:
        arrays["dropped"] = table.dropped.astype(np.int64)
    facts = {
        "features": table.features,
        "units": table.units,
        "categories": dict(table.categories),
        "classes": table.classes,
        "normal": table.normal,
        **({} if table.times is None else {"dated": table.times.dated}),
        "missing": asdict(table.missing),
        "gaps": table.gaps,
        **(
            {"converted": {name: asdict(each) for name, each in table.converted.items()}}
            if table.converted
            else {}
        ),
    }
    with writing_to(path, "try again"):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, save(arrays, {"table": json.dumps(facts)}))


def load_table(path: Path, name: str) -> Table:
    """Reads what `save_table` wrote, as the table of the named device.

    Raises:
        DataError: it is another kind of file, or damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads(file.metadata()["table"])
            arrays: dict[str, np.ndarray] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        features, x, y = tuple(facts["features"]), arrays["x"], arrays["y"]
        classes = tuple(map(str, facts["classes"]))
        missing = Missing.of(facts.get("missing", {}))
        sound = (lambda x: not np.isinf(x).any()) if missing.fills else (lambda x: np.isfinite(x).all())
        if x.shape != (len(y), len(features)) or not sound(x):
            raise ValueError("its samples do not fit its features, or are no numbers")
        unlabelled = arrays.get("unlabelled", x[:0])
        if unlabelled.ndim != 2 or unlabelled.shape[1] != len(features) or not sound(unlabelled):
            raise ValueError("its samples without a label do not fit its features, or are no numbers")
        if not np.isin(y, range(len(classes))).all():
            raise ValueError("its labels are none of its classes")
        if any(len(arrays[key]) != len(y) for key in ("groups", "reserved", "times") if key in arrays):
            raise ValueError("its columns are not equally long")
        return Table(
            name=name,
            features=features,
            x=x,
            y=y,
            units=tuple(facts["units"]),
            groups=arrays.get("groups"),
            reserved=arrays["reserved"].astype(bool) if "reserved" in arrays else None,
            categories={key: tuple(texts) for key, texts in facts["categories"].items()},
            source=path,
            classes=classes,
            normal=tuple(map(str, facts["normal"])),
            unlabelled=arrays.get("unlabelled"),
            times=Times(arrays["times"], bool(facts["dated"])) if "times" in arrays else None,
            missing=missing,
            gaps=facts.get("gaps", {}),
            dropped=arrays.get("dropped"),
            converted={str(name): OwnUnit(**each) for name, each in facts.get("converted", {}).items()},
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a table that this program wrote ({error}): give a CSV file.") from None
