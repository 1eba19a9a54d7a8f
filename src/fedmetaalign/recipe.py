"""The recipe: everything that decides a result, in TOML, with a default for every key.

The sections and their keys are the classes below; an unknown key is an error that names the nearest known one.
"""

import difflib
import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedmetaalign.errors import RecipeError

# Strict: neither true nor "1" is a number.
Share = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Rate = Annotated[float, Field(gt=0, le=1, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]


class Section(BaseModel):
    """A part of the recipe: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Partition(Section):
    """Cuts one table into devices with unlike mixtures of classes (Hsu et al., 2019, the paper's [12])."""

    kind: Literal["dirichlet"] = "dirichlet"
    by: tuple[str, ...] = ()
    """Columns whose combination is a sample's class; empty: the label."""
    count: Count = 10
    samples: Count = 100
    """Samples of each device, its test set included."""
    alpha: Positive = 0.3
    test: Literal["own", "all"] = "own"
    """Test on the device's own mixture, or on every class alike."""
    minimum: Count = 10
    """Least number of normal and of faulty samples of a device; a mixture with fewer is drawn again."""


class Source(Section):
    """Where one or more devices come from: a table, several tables, one table cut up, or a simulator."""

    name: str | None = None
    """The device's name, or the beginning of the names of several; default: the file's or simulator's."""
    table: str | None = None
    """A CSV or Parquet file; with `*` or `?` in its name, every file that matches is a device of its own."""
    label: str | tuple[str, ...] | None = None
    features: tuple[str, ...] = ()
    positive: tuple[str | int | float, ...] = ()
    """Values of the label column that mean a fault, where it is not 0/1."""
    categories: Mapping[str, tuple[str, ...]] = {}
    """Text columns among the features and their values in rising order: they become 0, 1, 2, ..."""
    units: Mapping[str, str] = {}
    device: str | tuple[str, ...] = ()
    """Columns whose combination names the device: one table cut into devices."""
    partition: Partition | None = None
    simulator: Literal["feeder", "milling", "rotating"] | None = None
    count: Count = 10
    """Devices to simulate."""
    samples: Count = 400
    """Samples of each simulated device, its test set included."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Source":
        if self.table is not None and self.simulator is not None:
            raise ValueError("names both a table and a simulator: keep one of them")
        if self.table is not None and (self.label is None or not self.features):
            raise ValueError(f"table {self.table!r} needs the keys label and features")
        if self.device and self.partition is not None:
            raise ValueError("has both device and partition: a table is cut in one way")
        return self


AnySource = TypeVar("AnySource", bound=Source)


class Fleet(Source):
    """The devices: one source written in place, or a list of them."""

    devices: tuple[Source, ...] = ()
    scaling: Literal["device", "fleet"] = "device"
    """Standardise with a device's own moments, or with the moments pooled over devices of equal features."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources in order."""
        return self.devices or (self,)

    @model_validator(mode="after")
    def _named(self) -> "Fleet":
        here = self.table is not None or self.simulator is not None
        if here and self.devices:
            raise ValueError("has devices and a table or simulator of its own: move the latter into devices")
        for i, source in enumerate(self.sources):
            if source.table is None and source.simulator is None:
                where = f"devices[{i}]" if self.devices else "fleet"
                raise ValueError(f"{where} needs a table or a simulator")
        return self


class Splits(Section):
    """How a device's samples are divided among testing and the phases."""

    test: Share = 0.2
    serial: Share = 0.2
    parallel: Share = 0.5
    personalize: Share = 0.3
    query: Share = 0.2
    """Share of each phase's samples that is evaluated on."""
    kind: Literal["rows", "blocks", "units"] = "rows"
    block: Count = 10
    """Rows of a block, for kind = "blocks"."""
    unit: str | None = None
    """Column whose equal values stay together, for kind = "units"."""
    reuse: bool = False
    """Phase 3 trains on all of a device's training samples but the validation part."""

    @model_validator(mode="after")
    def _complete(self) -> "Splits":
        total = self.serial + self.parallel + self.personalize
        if abs(total - 1) > 1e-9:
            raise ValueError(
                f"serial, parallel and personalize share the training samples: they sum to {total:g}, not 1"
            )
        return self


class Model(Section):
    """The network."""

    inputs: Count = 9
    hidden: Annotated[tuple[Count, ...], Field(min_length=1)] = (256, 128, 64, 32, 16, 12, 8)
    padding: Literal["zeros", "repeat"] = "zeros"
    """What a device with fewer features feeds the other inputs: zeros (the mean), or its features again."""


class Optimizer(Section):
    """How every phase trains."""

    name: Literal["adam"] = "adam"
    learning_rate: Rate = 1e-5
    batch_size: Literal[1] = 1


class Foundation(Source):
    """Phase 0: pre-training on public data."""

    enabled: bool = True
    epochs: Count = 10
    learning_rate: Rate | None = None
    """None: the optimizer's."""


class Serial(Section):
    """Phase 1: the tour."""

    rounds: Whole = 10
    epochs: Count = 1
    tours: Count = 1
    """Passes over all devices in a round."""


class Parallel(Section):
    """Phase 2: rounds of similarity-aware aggregation."""

    rounds: Whole = 10
    epochs: Count = 1
    aggregation: Literal["similarity", "mean"] = "similarity"
    floor: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.1
    reference: Literal["mean", "others"] = "mean"
    unit_norm: bool = False
    server_learning_rate: Positive = 1.0
    cohort: Rate = 1.0
    """Share of the devices that takes part in a round."""


class Personalize(Section):
    """Phase 3: fine-tuning and the threshold."""

    epochs: Count = 10
    freeze: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.5
    """Share of the layers, counted from the input, that stay as they are."""
    learning_rate: Rate | None = None
    """None: the optimizer's."""
    threshold: Literal["f1"] | Share = "f1"
    """Maximise F1 on the validation part, or a fixed threshold."""


class Deploy(Section):
    """What the device receives."""

    format: Literal["uint8", "float32"] = "uint8"
    threshold: Literal["deployed", "personalized"] = "deployed"
    """Choose the threshold again on the deployed model's own scores, or keep the personalised model's."""
    max_bytes: Count | None = None
    target: Literal["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33"] = "cortex-m4"


class Evaluation(Section):
    """What a run is compared with."""

    alone: bool = True
    """Train every device by itself too, with as many steps, to tell what the federation gains."""


class Recipe(Section):
    """All that decides a result."""

    name: Annotated[str, Field(min_length=1)] = "recipe"
    seed: Whole = 0
    fleet: Fleet
    splits: Splits = Splits()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    foundation: Foundation = Foundation(enabled=False)
    serial: Serial = Serial()
    parallel: Parallel = Parallel()
    personalize: Personalize = Personalize()
    deploy: Deploy = Deploy()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _foundation_has_data(self) -> "Recipe":
        f = self.foundation
        if f.enabled and f.table is None and f.simulator is None:
            raise ValueError("foundation needs a table or a simulator, or enabled = false")
        if (
            self.splits.kind == "units"
            and self.splits.unit is None
            and any(s.table for s in self.fleet.sources)
        ):
            raise ValueError('splits.kind = "units" needs splits.unit, the column that names the unit')
        return self


def builtin() -> dict[str, Path]:
    """Returns the recipes that come with the package, by name."""
    installed = Path(str(importlib.resources.files("fedmetaalign"))) / "recipes"
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(
    recipe: str, settings: Iterable[str] = (), seed: int | None = None, data: Path | None = None
) -> Recipe:
    """Reads a recipe.

    Args:
        recipe: a built-in name, or the path of a TOML file.
        settings: `key=value` pairs that replace keys, such as `parallel.rounds=3`.
        seed: replaces the recipe's.
        data: the folder that its tables are relative to, by default the recipe's own.

    Returns:
        The recipe, its tables with their whole paths.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key or a value out of range.
    """
    path = builtin().get(recipe, Path(recipe))
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(
            f"There is no recipe {recipe!r}: give the path of a TOML file or one of {', '.join(builtin())}."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Cannot read the recipe {path}: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from None
    for setting in settings:
        _set(raw, setting)
    if seed is not None:
        raw["seed"] = seed
    raw.setdefault("name", path.stem)
    return _located(parse(raw, str(path)), (data or path.parent).resolve())


def parse(raw: Mapping[str, Any], origin: str) -> Recipe:
    """Checks a recipe and fills in its defaults.

    Raises:
        RecipeError: one sentence about the first thing wrong; `origin` says where it was read.
    """
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {_sentence(error)}") from None


def dump(recipe: Recipe) -> str:
    """Returns the recipe as TOML, with every default filled in."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _located(recipe: Recipe, folder: Path) -> Recipe:
    def locate(source: AnySource) -> AnySource:
        if source.table is None:
            return source
        return source.model_copy(update={"table": str(folder / source.table)})

    fleet = locate(recipe.fleet).model_copy(update={"devices": tuple(map(locate, recipe.fleet.devices))})
    return recipe.model_copy(update={"fleet": fleet, "foundation": locate(recipe.foundation)})


def _set(raw: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    *sections, last = (part.strip() for part in key.split("."))
    if not equals or not all([*sections, last]):
        raise RecipeError(f"--set {setting!r} is not of the form key=value, such as parallel.rounds=3.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    for section in sections:
        raw = raw.setdefault(section, {})
        if not isinstance(raw, dict):
            raise RecipeError(f"--set {setting!r}: {section} is not a section of the recipe.")
    raw[last] = value


def _sentence(error: ValidationError) -> str:
    """Says what is wrong with the first key that has a fault."""
    first = error.errors()[0]
    key = _key(first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(
            str(first["loc"][-1]), _section(first["loc"]).model_fields, n=1, cutoff=0
        )
        return f"unknown key {key}; the nearest known one is {near[0]}."
    if first["type"] == "missing":
        return f"the key {key} is missing."
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{key + ' ' if key else ''}{message}."
    # Where a key takes one of several types, each of them says what it wants.
    wanted = [e["msg"].removeprefix("Input should be ") for e in error.errors() if _key(e["loc"]) == key]
    return f"{key} = {first['input']!r} must be {', or '.join(dict.fromkeys(wanted))}."


def _key(location: tuple[int | str, ...]) -> str:
    """Returns the key as it is written in the recipe; pydantic adds the types of a union to its path."""
    types = ("str", "int", "float", "constrained-", "literal[", "tuple[", "list[")
    return ".".join(str(part) for part in location if not str(part).startswith(types))


def _section(location: tuple[int | str, ...]) -> type[BaseModel]:
    """Returns the section that holds the last key of a location."""
    section: type[BaseModel] = Recipe
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        inner = section.model_fields[part].annotation
        candidates = [inner, *getattr(inner, "__args__", ())]
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return section
