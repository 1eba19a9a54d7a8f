"""Simulated devices as an engineer's folder of CSV files, with the recipe that runs on it."""

import csv
from pathlib import Path

import tomli_w

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.simulators import find
from fedmetaalign.recipe.simulated import WINDOWS


def write_devices(simulator: str, count: int, samples: int, seed: int, folder: Path) -> Path:
    """Writes one CSV file a device (features, `fault`, `kind`, `event`) and `recipe.toml`.

    Returns:
        The recipe's path.

    Raises:
        DataError: the folder holds something already or cannot be written.
    """
    devices = find(simulator)(count, samples, seed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DataError(f"{folder} is not empty: choose another --out.")
        for device in devices:
            with (folder / f"{device.name}.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file, lineterminator="\n")
                kinds, groups = device.kinds, device.groups
                more = [name for name, values in (("kind", kinds), ("event", groups)) if values is not None]
                table.writerow([*device.features, "fault", *more])
                for i, row in enumerate(device.x):
                    extra = [values[i] for values in (kinds, groups) if values is not None]
                    table.writerow([*map(repr, row.tolist()), int(device.y[i]), *extra])
        units = {f: u for f, u in zip(devices[0].features, devices[0].units, strict=True) if u}
        features = list(devices[0].features)
        fleet = {"table": "*.csv", "label": "fault", "features": features, "units": units}
        if simulator in WINDOWS:
            fleet["window"] = {**WINDOWS[simulator], "by": "event"}
            fleet["features"] = list(WINDOWS[simulator]["channels"])
        recipe = {"name": simulator, "seed": seed, "fleet": fleet}
        (folder / "recipe.toml").write_text(tomli_w.dumps(recipe), encoding="utf-8")
    except OSError as error:
        raise DataError(f"Cannot write to {folder}: {error.strerror}; choose another --out.") from None
    return folder / "recipe.toml"
