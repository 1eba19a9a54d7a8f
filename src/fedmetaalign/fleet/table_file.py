"""A device's samples as one file that says everything about them, to the last bit."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table, Times, Windows
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.preparation import OwnUnit
from fedmetaalign.model.table_format import TableFormat
from fedmetaalign.signals import Signal
from fedmetaalign.system.writing import replace, writing_to

SUFFIX = ".safetensors"
_MOST_UNITS = 1000  # that are kept by name; more are no list that a recipe would name some of


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
    groups: list[str] = []
    if table.groups is not None:
        names, arrays["groups"] = _numbered(table.groups)
        groups = names if len(names) <= _MOST_UNITS else []
    for key in ("holes", "unlabelled_holes"):
        if (holes := getattr(table, key)) is not None:
            arrays[key] = np.ascontiguousarray(holes, np.uint8)
    if table.unlabelled is not None:
        arrays["unlabelled"] = np.ascontiguousarray(table.unlabelled, np.float64)
    if table.reserved is not None:
        arrays["reserved"] = table.reserved.astype(np.uint8)
    if table.times is not None:
        arrays["times"] = table.times.values.astype(np.int64)
    if table.dropped is not None:
        arrays["dropped"] = table.dropped.astype(np.int64)
    signal: dict[str, object] = {}
    if table.signal is not None:
        signal["signal"] = asdict(table.signal)
    if table.windows is not None:
        names, arrays["recordings"] = _numbered(table.windows.recordings)
        arrays["spans"] = np.ascontiguousarray(table.windows.spans, np.int64)
        signal |= {"recordings": names, "parted": table.windows.parted}
    facts: dict[str, Any] = {
        "features": table.features,
        "units": table.units,
        "categories": dict(table.categories),
        "classes": table.classes,
        "normal": table.normal,
        **({} if table.times is None else {"dated": table.times.dated, "times": table.times.notes}),
        "missing": asdict(table.missing),
        "gaps": table.gaps,
        **({"format": told} if (told := table.format.to_dict()) else {}),
        **(
            {"converted": {name: asdict(each) for name, each in table.converted.items()}}
            if table.converted
            else {}
        ),
        **({"units_of_split": groups} if groups else {}),
        **signal,
    }
    with writing_to(path, "try again"):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, save(arrays, {"table": json.dumps(facts)}))


def _numbered(names: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Returns the unlike names, sorted, and the number of each row's, (rows,) int64."""
    unlike, numbers = np.unique(names, return_inverse=True)
    return unlike.astype(str).tolist(), numbers.astype(np.int64)


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
        if any(
            key in arrays and arrays[key].shape != values.shape
            for key, values in (("holes", x), ("unlabelled_holes", unlabelled))
        ):
            raise ValueError("what it says is missing does not fit its samples")
        columns = ("groups", "reserved", "times", "recordings", "spans")
        if any(len(arrays[key]) != len(y) for key in columns if key in arrays):
            raise ValueError("its columns are not equally long")
        groups = arrays.get("groups")
        if groups is not None and "units_of_split" in facts:
            groups = np.array(facts["units_of_split"], str)[groups]
        windows = None
        if "recordings" in facts:
            names = np.array(facts["recordings"], str)
            windows = Windows(
                names[arrays["recordings"]], arrays["spans"].reshape(-1, 2), bool(facts["parted"])
            )
        return Table(
            name=name,
            features=features,
            x=x,
            y=y,
            units=tuple(facts["units"]),
            groups=groups,
            reserved=arrays["reserved"].astype(bool) if "reserved" in arrays else None,
            categories={key: tuple(texts) for key, texts in facts["categories"].items()},
            source=path,
            classes=classes,
            normal=tuple(map(str, facts["normal"])),
            unlabelled=arrays.get("unlabelled"),
            times=Times(arrays["times"], bool(facts["dated"]), tuple(map(str, facts.get("times", ()))))
            if "times" in arrays
            else None,
            missing=missing,
            gaps=facts.get("gaps", {}),
            dropped=arrays.get("dropped"),
            holes=arrays["holes"].astype(bool) if "holes" in arrays else None,
            unlabelled_holes=arrays["unlabelled_holes"].astype(bool) if "unlabelled_holes" in arrays else None,
            format=TableFormat.read(facts.get("format", {})),
            converted={str(name): OwnUnit(**each) for name, each in facts.get("converted", {}).items()},
            signal=Signal.of(facts["signal"]) if "signal" in facts else None,
            windows=windows,
        )
    except (OSError, SafetensorError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a table that this program wrote ({error}): give a CSV file.") from None
