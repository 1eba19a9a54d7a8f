"""The run folder: what a run writes, in an order that survives being stopped at any point."""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import RunError
from fedmetaalign.federation.engine import KINDS
from fedmetaalign.federation.records import Record
from fedmetaalign.fleet.tables import safe_name
from fedmetaalign.phases.server import State
from fedmetaalign.recipe import Recipe
from fedmetaalign.system.locking import BusyError, Lock
from fedmetaalign.system.sealed import sealed, unsealed
from fedmetaalign.system.writing import replace, writing_to

RUN_ID = "run_id"
"""In the folder of a run over Flower: by which its devices tell it from others."""

MEMORY = "memory"
"""In the folder of a run in this process: what its devices keep from round to round."""

SHARED = "fleet.json"
"""In the run folder: what the devices have agreed on, from the first start on."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, ready to be written to: by nobody else, until its context ends or it is dropped."""

    path: Path
    _lock: Lock = field(repr=False, compare=False)

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> "RunFolder":
        """Makes a new run folder with its recipe.

        Raises:
            RunError: the folder holds something already, or cannot be made.
        """
        check_free(path)
        with writing_to(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = sole_writer(path)
            replace(path / "recipe.toml", recipes.dump(recipe).encode())
        return cls(path, lock)

    @classmethod
    def reopen(cls, path: Path, recipe: Recipe) -> "RunFolder":
        """Opens a run folder that this recipe made.

        Raises:
            RunError: there is none, it was made by another recipe, or somebody else writes to it.
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
        with writing_to(path):
            return cls(path, sole_writer(path))

    def __enter__(self) -> "RunFolder":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Lets others write to it."""
        self._lock.release()

    def log(self, records: list[Record]) -> int:
        """Adds records to rounds.jsonl, and returns its size in bytes."""
        path = self.path / "rounds.jsonl"
        with writing_to(path), path.open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(record, allow_nan=False) + "\n" for record in records)
            log.flush()
            os.fsync(log.fileno())
            return log.tell()

    def checkpoint(self, state: State, records: list[Record]) -> None:
        """Adds a round's records and then, at once, the state after it.

        A run that is stopped in between leaves the records of an unfinished round in rounds.jsonl, and
        `restore` cuts them off.
        """
        arrays, place = checkpointed(state, self.log(records))
        with writing_to(self.path):
            replace(self.path / "checkpoint.safetensors", sealed(arrays, place))
            replace(self.path / "checkpoint.json", (json.dumps(place, indent=2) + "\n").encode())

    def restore(self, parameters: int) -> State | None:
        """Returns the state of the last checkpoint, None if there is none yet, and goes back to it.

        The records that came after it are cut off rounds.jsonl.

        Args:
            parameters: length of the weight vector that the recipe's network has.

        Raises:
            RunError: the checkpoint is damaged.
        """
        path, log = self.path / "checkpoint.safetensors", self.path / "rounds.jsonl"
        if not path.exists():
            self._keep_records(0)
            return None
        try:
            state, size = read_state(path, parameters)
            if not log.exists() or log.stat().st_size < size:
                raise ValueError("rounds.jsonl is shorter than it says")
            self._keep_records(size)
            return state
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}): start the run again with another --out.") from None

    def _keep_records(self, size: int) -> None:
        """Cuts rounds.jsonl off after `size` bytes."""
        path = self.path / "rounds.jsonl"
        with writing_to(path), path.open("ab") as log:
            log.truncate(size)

    def missed(self) -> dict[str, dict[str, int]]:
        """Counts each device's answers that cannot be used, by kind, of those that missed any."""
        counts: dict[str, Counter[str]] = {}
        with (self.path / "rounds.jsonl").open(encoding="utf-8") as log:
            for record in map(json.loads, log):
                kinds = [kind for kind in KINDS if kind in record]
                counts.setdefault(record["device"], Counter()).update(kinds)
        return {name: dict(sorted(count.items())) for name, count in sorted(counts.items()) if count}

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file, whole or not at all."""
        with writing_to(self.path / name):
            replace(self.path / name, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def checkpointed(state: State, size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the arrays and the facts of a checkpoint; `size` is that of rounds.jsonl in bytes."""
    place = {"done": state.done, "rounds_jsonl_bytes": size, "stages": list(state.stages)}
    arrays = {
        "weights": state.weights,
        **{f"stage.{name}": weights for name, weights in state.stages.items()},
        **{f"memory.{name}": array for name, array in state.memory.items()},
    }
    return arrays, place


def read_state(path: Path, parameters: int) -> tuple[State, int]:
    """Reads a checkpoint.

    Args:
        path: checkpoint.safetensors of a run folder.
        parameters: length of the weight vector that the recipe's network has.

    Returns:
        The state, and the size in bytes that rounds.jsonl had then.

    Raises:
        OSError, KeyError, TypeError, ValueError: the file is damaged, or there is none.
    """
    arrays, place = unsealed(path)
    memory = {name: arrays.pop(name) for name in list(arrays) if name.startswith("memory.")}
    if any(array.shape != (parameters,) for array in arrays.values()):
        raise ValueError(f"its network does not have the recipe's {parameters} parameters")
    state = State(
        arrays["weights"],
        int(place["done"]),
        {name: arrays[f"stage.{name}"] for name in place["stages"]},
        {name.removeprefix("memory."): array for name, array in memory.items()},
    )
    return state, int(place["rounds_jsonl_bytes"])


def check_free(path: Path) -> None:
    """Finds out whether a new run may write to a folder, and makes nothing.

    What `RunFolder.create` leaves when it is killed, before there is a recipe to resume, does not count.

    Raises:
        RunError: the folder holds something already, or cannot be read.
    """
    with writing_to(path):
        if path.exists() and not (path.is_dir() and all(map(_is_unfinished, path.iterdir()))):
            hint = "continue it with --resume, or " if (path / "recipe.toml").exists() else ""
            raise RunError(f"{path} is not empty: {hint}choose another --out.")


def _is_unfinished(path: Path) -> bool:
    return path.match(".*.partial") or (path.name == "rounds.jsonl" and path.stat().st_size == 0)


def sole_writer(path: Path, patience: float = 0.0) -> Lock:
    """Keeps all others from writing to a run folder that exists, for as long as the lock is held.

    Args:
        path: the run folder.
        patience: seconds to wait for another that writes to it.

    Raises:
        BusyError: somebody else writes to it.
        OSError: the folder cannot be written to.
    """
    try:
        # No file of its own: this one is in every run folder, and is never replaced.
        return Lock(path / "rounds.jsonl", patience)
    except BlockingIOError:
        raise BusyError(f"Another run writes to {path}: wait until it ends, or choose another --out.") from None


def free_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Returns the first of runs/NAME, runs/NAME-2, ... that does not exist."""
    name = safe_name(name)
    number = 1
    while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def check_engine(path: Path, where: str) -> None:
    """Makes sure that a run is resumed where its devices keep what they remember.

    Args:
        path: what only the other engine leaves in the run folder.
        where: the run goes on.

    Raises:
        RunError: the other engine has begun the run.
    """
    if path.exists():
        raise RunError(
            f"{path.parent} can only be resumed {where}: what its devices keep from round to round is there."
        )


def check_memory(path: Path) -> None:
    """Makes sure that what the devices of a run in this process have kept is there when it is resumed.

    Raises:
        RunError: it is not; without it they would go on as if they had never taken part.
    """
    if not any(path.glob("*/*.safetensors")):
        raise RunError(
            f"{path} is gone, where this run's devices keep what they need from round to round: put it back, or"
            " start the run again with another --out."
        )
