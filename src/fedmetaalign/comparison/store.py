"""Cells on disk: each is a file named after all that decides it, so that finished ones are used again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedmetaalign import methods
from fedmetaalign.comparison import code
from fedmetaalign.comparison.cell import Cell, Stage
from fedmetaalign.comparison.run_cell import Start
from fedmetaalign.errors import RunError
from fedmetaalign.recipe import Recipe
from fedmetaalign.system import plugins
from fedmetaalign.system.writing import replace, writing_to

SOFTWARE = ("jax", "jaxlib", "numpy", "optax", "scikit-learn", "scipy")
"""Whose versions may change a number."""
AGAIN = "run the same command again"
"""How a comparison that could not write goes on."""
IRRELEVANT = {"name", "method", "compare", "evaluation"}
"""Sections of a recipe that no cell depends on; nor on "deploy", unless the comparison deploys."""


@dataclass(frozen=True)
class Store:
    """The folder of a comparison's cells."""

    path: Path

    def cell(self, key: str) -> Cell | None:
        """Returns a finished cell, None if there is none or it cannot be read: then it is made again."""
        try:
            raw = json.loads((self.path / f"{key}.json").read_text(encoding="utf-8"))
            stages = {name: Stage(**stage) for name, stage in raw["stages"].items()}
            return Cell(
                **raw | {"stages": stages, "rounds": tuple(raw["rounds"]), "unseen": tuple(raw["unseen"])}
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep(self, key: str, cell: Cell) -> None:
        """Writes a cell, whole or not at all."""
        self._write(f"{key}.json", (json.dumps(asdict(cell), allow_nan=False) + "\n").encode())

    def start(self, key: str) -> Start | None:
        """Returns the common start, None if there is none yet."""
        try:
            with safe_open(self.path / f"start-{key}.safetensors", "numpy") as file:
                spent = json.loads(file.metadata()["spent"])
                return Start(file.get_tensor("weights"), int(spent["steps"]), float(spent["seconds"]))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def keep_start(self, key: str, start: Start) -> None:
        """Writes the common start."""
        spent = json.dumps({"steps": start.steps, "seconds": start.seconds})
        self._write(f"start-{key}.safetensors", save({"weights": start.weights}, metadata={"spent": spent}))

    def _write(self, name: str, data: bytes) -> None:
        with writing_to(self.path, AGAIN):
            self.path.mkdir(parents=True, exist_ok=True)
            replace(self.path / name, data)


def cell_key(method: str, recipe: Recipe, data: Mapping[str, str]) -> str:
    """Returns what names a cell: a digest of the method, the recipe with its seed and rate, data and code."""
    settings = recipe.compare
    attack = [] if settings.attack is None else [settings.attack, settings.hostile]
    return _digest([method, _content(recipe, data), _files(data), _code(*_modules(recipe, method)), *attack])


def start_key(recipe: Recipe, data: Mapping[str, str]) -> str:
    """Returns what names a start: a digest of what phase 0 depends on."""
    content = _content(recipe, data)
    wanted = [content[section] for section in ("seed", "model", "foundation", "optimizer")]
    if recipe.fleet.encoding == "quantiles":  # the public samples go through the fleet's map
        wanted += [content["fleet"], content["splits"]]
    return _digest([wanted, recipe.splits.query, _files(data), _code(*_modules(recipe))])


def _content(recipe: Recipe, data: Mapping[str, str]) -> dict[str, Any]:
    """Returns the recipe with each table's path replaced by its name: the digests say what is in it."""
    without = IRRELEVANT if recipe.compare.deployed else IRRELEVANT | {"deploy"}
    content = recipe.model_dump(mode="json", exclude=without)
    for source in (content["fleet"], content["foundation"], *content["fleet"]["devices"]):
        if source["table"] is not None:
            source["table"] = Path(source["table"]).name
    return content


def _files(data: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns each file's name, which may be a device's, with its digest, wherever the files lie."""
    return [(Path(path).name, digest) for path, digest in sorted(data.items())]


def _modules(recipe: Recipe, method: str | None = None) -> tuple[str, ...]:
    """Returns the modules that make a number of a recipe: ours, and those of the plug-ins that it names."""
    sources = (*recipe.fleet.sources, recipe.foundation)
    plugged = [
        plugins.module(plugins.RULES, recipe.parallel.aggregation),
        *(plugins.module(plugins.SIMULATORS, each.simulator) for each in sources if each.simulator),
    ]
    if method is not None:
        plugged.append(plugins.module(plugins.METHODS, method) or f"{methods.__name__}.{method}")
    return (f"{__package__}.pool", *sorted(module for module in plugged if module is not None))


@cache
def _code(*modules: str) -> list[str]:
    """Returns a digest of the code that makes the numbers, and the versions of the libraries."""
    return [code.digest(*modules), *(f"{name} {version(name)}" for name in SOFTWARE)]


def _digest(value: object) -> str:
    return _sha256(json.dumps(value, sort_keys=True).encode())[:32]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check_folder(path: Path) -> None:
    """Refuses a folder that holds something other than a comparison.

    Raises:
        RunError: it does, or it is a file.
    """
    ours = (path / "recipe.toml").exists() and not (path / "rounds.jsonl").exists()  # as a run's folder has
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not ours)):
        raise RunError(f"{path} holds something other than a comparison: choose another --out.")
