"""The run folder: what a run writes, in an order that survives being stopped at any point."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import RunError
from fedmetaalign.methods.fed_meta_align import State
from fedmetaalign.phases.records import Record
from fedmetaalign.recipe import Recipe


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, ready to be written to."""

    path: Path

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> "RunFolder":
        """Makes a new run folder with its recipe.

        Raises:
            RunError: the folder holds something already, or cannot be made.
        """
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                hint = "continue it with --resume, or " if (path / "recipe.toml").exists() else ""
                raise RunError(f"{path} is not empty: {hint}choose another --out.")
            path.mkdir(parents=True, exist_ok=True)
            replace(path / "recipe.toml", recipes.dump(recipe).encode())
            (path / "rounds.jsonl").touch()
        except OSError as error:
            raise RunError(f"Cannot write to {path}: {error.strerror}; choose another --out.") from None
        return cls(path)

    @classmethod
    def reopen(cls, path: Path, recipe: Recipe) -> "RunFolder":
        """Opens a run folder that this recipe made.

        Raises:
            RunError: there is none, or it was made by another recipe.
        """
        try:
            made_by = (path / "recipe.toml").read_text(encoding="utf-8")
        except OSError:
            raise RunError(f"{path} holds no run to resume: leave out --resume, or correct --out.") from None
        if made_by != recipes.dump(recipe):
            raise RunError(
                f"{path} was made by another recipe: resume it with {path / 'recipe.toml'},"
                " or choose another --out."
            )
        return cls(path)

    def checkpoint(self, state: State, records: list[Record]) -> None:
        """Adds a round's records and then, at once, the state after it.

        A run that is stopped in between finds the records of an unfinished round in rounds.jsonl, and
        `restore` cuts them off.
        """
        with (self.path / "rounds.jsonl").open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(record, allow_nan=False) + "\n" for record in records)
            log.flush()
            os.fsync(log.fileno())
            size = log.tell()
        arrays = {"weights": state.weights, **{f"stage.{name}": w for name, w in state.stages.items()}}
        place = {"done": str(state.done), "rounds_jsonl_bytes": str(size)}
        replace(self.path / "checkpoint.safetensors", save(arrays, metadata=place))
        replace(self.path / "checkpoint.json", (json.dumps(place, indent=2) + "\n").encode())

    def restore(self) -> State | None:
        """Returns the state of the last checkpoint, None if there is none yet.

        Raises:
            RunError: the checkpoint is damaged.
        """
        path, log = self.path / "checkpoint.safetensors", self.path / "rounds.jsonl"
        if not path.exists():
            self.keep_records(0)
            return None
        try:
            with safe_open(path, "numpy") as file:
                place = file.metadata()
                arrays: dict[str, np.ndarray] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            done, size = int(place["done"]), int(place["rounds_jsonl_bytes"])
            if not log.exists() or log.stat().st_size < size:
                raise RunError(
                    f"{log} is shorter than the checkpoint says: start the run again with another --out."
                )
            self.keep_records(size)
            stages = {name.removeprefix("stage."): w for name, w in arrays.items() if name != "weights"}
            return State(arrays["weights"], done, stages)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}): start the run again with another --out.") from None

    def keep_records(self, size: int) -> None:
        """Cuts rounds.jsonl off after `size` bytes."""
        with (self.path / "rounds.jsonl").open("ab") as log:
            log.truncate(size)

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file, whole or not at all."""
        replace(self.path / name, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Reads a JSON file of the run; None if it is not there."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def free_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Returns the first of runs/NAME, runs/NAME-2, ... that does not exist."""
    number = 1
    while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def replace(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old one or the new one, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
