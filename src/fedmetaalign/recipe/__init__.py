"""The recipe: everything that decides a result, in TOML, with a default for every key.

The sections and their keys are the classes below and those of `data`, `deploy` and `compare` beside this file;
an unknown key is an error that names the nearest known one.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomli_w
from pydantic import AfterValidator, Field, ValidationError, model_validator

from fedmetaalign.errors import RecipeError
from fedmetaalign.recipe import file as recipe_file
from fedmetaalign.recipe.compare import Compare
from fedmetaalign.recipe.data import Count, Fleet, Positive, Rate, Section, Share, Whole, one_of
from fedmetaalign.recipe.data import Partition as Partition
from fedmetaalign.recipe.data import Source as Source
from fedmetaalign.recipe.data import Splits as Splits
from fedmetaalign.recipe.deploy import Deploy as Deploy
from fedmetaalign.recipe.errors import Location, dotted, sentence
from fedmetaalign.recipe.file import builtin as builtin
from fedmetaalign.recipe.inputs import LEAST, enough
from fedmetaalign.system import plugins

AnySource = TypeVar("AnySource", bound=Source)


class Model(Section):
    """The network."""

    inputs: Count = LEAST
    """A recipe may also say "features": as many as related devices have between them, and no fewer than 9."""
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
    decay: Literal["none", "cosine"] = "none"
    """Of the learning rate, over all tours."""


RULES = (
    *("similarity", "mean", "fedadp", "fltrust", "fedfv", "fednova"),
    *("median", "trimmed_mean", "krum"),
)
"""The rules of this package."""


class Parallel(Section):
    """Phase 2: rounds of similarity-aware aggregation."""

    rounds: Whole = 10
    epochs: Count = 1
    aggregation: Annotated[str, AfterValidator(one_of(RULES, plugins.RULES))] = "similarity"
    """A rule of `aggregation`, or of another package."""
    floor: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.1
    reference: Literal["mean", "others", "root"] = "mean"
    """What similarity compares a delta with: the mean, the others' mean, or the server's own on public data."""
    unit_norm: bool = False
    criteria: tuple[Literal["score", "alignment"], ...] = ("score", "alignment")
    """What the weights of similarity are the product of; none: all weigh the same."""
    byzantine: Annotated[float, Field(ge=0, lt=0.5, strict=True)] = 0.2
    """Share of the devices that may lie, for trimmed_mean and krum."""
    keep: Count = 1
    """Devices that krum averages; more than one is Multi-Krum."""
    server_learning_rate: Positive = 1.0
    cohort: Rate = 1.0
    """Share of the devices that takes part in a round."""
    minimum_devices: Count = 1
    """A round that fewer of them answer ends the run, to be resumed."""

    @property
    def needs_root(self) -> bool:
        """The server trains on public data, too: the rule compares the devices' deltas with its own."""
        return self.aggregation == "fltrust" or (self.aggregation == "similarity" and self.reference == "root")


class Transport(Section):
    """How the weights of phase 2 travel; both engines round them alike."""

    receive: Literal["float32", "float16"] = "float32"
    """What a device is sent the global weights in."""
    send: Literal["float32", "float16", "int8"] = "float32"
    """What it sends its delta in; what rounding loses is added to its next delta."""


class Costs(Section):
    """What mistakes cost, in any one unit: only their ratio counts."""

    miss: Positive
    false_alarm: Positive


class Personalize(Section):
    """Phase 3: fine-tuning and the threshold."""

    epochs: Count = 10
    freeze: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.5
    """Share of the layers, counted from the input, that stay as they are."""
    learning_rate: Rate | None = None
    """None: the optimizer's."""
    threshold: Literal["f1", "cost"] | Share = "f1"
    """Maximise F1 on the validation part, expect the least cost of mistakes, or a fixed threshold."""
    beta: Positive = 1.0
    """For "f1": F-beta in its place, to which a missed fault counts beta^2 times a false alarm."""
    costs: Costs | None = None
    """For "cost"."""
    max_false_alarms: Share = 0.01
    """Share of false alarms that a device may raise which has no fault to choose its threshold by."""

    @model_validator(mode="after")
    def _threshold_is_whole(self) -> "Personalize":
        if self.threshold == "cost" and self.costs is None:
            raise ValueError(
                'has threshold = "cost" and says no costs: add costs = { miss = 20.0, false_alarm = 1.0 }, or'
                " what a mistake costs you"
            )
        if self.threshold != "cost" and self.costs is not None:
            raise ValueError('has costs, which only threshold = "cost" uses: set that, or take costs out')
        if self.threshold != "f1" and self.beta != 1:
            raise ValueError(
                f'has beta = {self.beta:g}, which only threshold = "f1" uses: set that, or take beta out'
            )
        return self

    @property
    def fixed_threshold(self) -> float | None:
        """The threshold that no sample has a say in; None of the one that is best for F1.

        With costs it is that of least expected cost, for a score that is the probability of a fault: an alarm
        costs (1 - p) false_alarm, and none p miss (Elkan, "The foundations of cost-sensitive learning", 2001).
        """
        if self.costs is not None:
            return 1 / (1 + self.costs.miss / self.costs.false_alarm)
        return None if isinstance(self.threshold, str) else self.threshold


class Groups(Section):
    """Which devices of the method `fleet` train one model."""

    alignment: Annotated[float, Field(ge=-1, le=1, strict=True)] = 0.2
    """Least mean alignment within a group, corrected for noise; -1 makes one group of all devices."""
    epochs: Count = 6
    """Passes over half of its samples that a device's alignment is measured on."""
    cap: Annotated[float, Field(ge=1, strict=True)] = 4.0
    """Samples that a device trains on in a tour, at most: so many times those of the fleet's median device."""


Teacher = Literal["forest", "own", "tuned", "fleet"]


class Teaching(Section):
    """What a device of the method `fleet` makes its own model of.

    forest: a random forest on its own samples.
    own: a network trained on its own samples.
    tuned: its group's model, fine-tuned on its own samples.
    fleet: its group's model.
    """

    teachers: Annotated[tuple[Teacher, ...], Field(min_length=1)] = ("forest", "own", "tuned", "fleet")
    folds: Annotated[int, Field(ge=2, le=10, strict=True)] = 3
    """Parts of its samples: a teacher is judged on each by one of its kind that has not seen that part."""
    margin: Annotated[float, Field(ge=0, strict=True)] = 1.0
    """Standard errors by which another blend of teachers must beat the joint one to be taken."""
    samples: Count = 24_000
    """Synthetic samples that the network learns from its teachers."""


class Evaluation(Section):
    """What a run is compared with."""

    alone: bool = True
    """Train every device by itself too, with as many steps, to tell what the federation gains."""


class Recipe(Section):
    """All that decides a result."""

    name: Annotated[str, Field(min_length=1)] = "recipe"
    seed: Whole = 0
    method: Annotated[str, Field(min_length=1)] = "fed_meta_align"
    """What `run` and `server` execute after phase 0; `compare` has a list of its own."""
    fleet: Fleet
    splits: Splits = Splits()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    foundation: Foundation = Foundation(enabled=False)
    serial: Serial = Serial()
    parallel: Parallel = Parallel()
    transport: Transport = Transport()
    groups: Groups = Groups()
    personalize: Personalize = Personalize()
    teaching: Teaching = Teaching()
    deploy: Deploy = Deploy()
    evaluation: Evaluation = Evaluation()
    compare: Compare = Compare()

    @model_validator(mode="after")
    def _phases_have_data(self) -> "Recipe":
        f = self.foundation
        if f.enabled and f.table is None and f.simulator is None:
            raise ValueError("foundation needs a table or a simulator, or enabled = false")
        if self.parallel.needs_root and not f.enabled:
            rule = 'aggregation = "fltrust"' if self.parallel.aggregation == "fltrust" else 'reference = "root"'
            raise ValueError(f"parallel.{rule} needs public data: set foundation.enabled = true")
        if (
            self.splits.kind == "units"
            and self.splits.unit is None
            and any(s.table for s in self.fleet.sources)
        ):
            raise ValueError('splits.kind = "units" needs splits.unit, the column that names the unit')
        layers = len(self.model.hidden) + 1
        if self.deploy.format == "int8-float-head" and not int(self.personalize.freeze * layers):
            raise ValueError(
                f'deploy.format = "int8-float-head" keeps the layers that phase 3 trains in float32, and with'
                f" personalize.freeze = {self.personalize.freeze:g} it trains all {layers}: use"
                ' deploy.format = "float32", or freeze some'
            )
        if self.serial.rounds and not self.splits.serial:
            raise ValueError(
                f"serial.rounds = {self.serial.rounds} needs samples, and splits.serial is 0: give it a share,"
                " or set serial.rounds = 0"
            )
        return self


def load(
    recipe: str, settings: Iterable[str] = (), seed: int | None = None, data: Path | None = None
) -> Recipe:
    """Reads a recipe.

    Args:
        recipe: a built-in name, or the path of a TOML file. Its key `extends` names another recipe, or its
            path relative to the file, whose keys hold where it has none.
        settings: `key=value` pairs that replace keys, such as `parallel.rounds=3`.
        seed: replaces the recipe's.
        data: the folder that all tables are relative to, by default the folder of `recipe`, also for tables
            that a recipe which it extends names.

    Returns:
        The recipe, its tables with their whole paths.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key or a value out of range; the sentence names the
            file or the setting that is wrong.
    """
    pairs = {key: (value, text) for text in settings for key, value in [recipe_file.setting(text)]}
    extends, _ = pairs.pop("extends", (None, ""))
    files = recipe_file.read(recipe, extends)
    raw = recipe_file.merged(files)
    for key, (value, text) in pairs.items():
        raw = recipe_file.replaced(raw, key, value, f"--set {text!r}")
    if seed is not None:
        raw["seed"] = seed

    def origin(location: Location) -> str:
        where = f"{dotted(location)}."
        for key, (_, text) in pairs.items():
            if where.startswith(f"{key}."):
                return f"--set {text!r}"
        return str(files[0].path if where == "name." else recipe_file.origin(files, location))

    return _located(_checked(raw, origin), (data or files[0].path.parent).resolve())


def parse(raw: Mapping[str, Any], origin: str) -> Recipe:
    """Checks a recipe and fills in its defaults.

    Raises:
        RecipeError: one sentence about the first thing wrong; `origin` says where it was read.
    """
    return _checked(raw, lambda location: origin)


def dump(recipe: Recipe) -> str:
    """Returns the recipe as TOML, with every default filled in."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def with_settings(recipe: Recipe, settings: Mapping[str, Any], origin: str = "settings") -> Recipe:
    """Returns the recipe with some keys, such as "parallel.floor", replaced.

    Raises:
        RecipeError: there is no such key, or it cannot have this value; `origin` says who asked for it.
    """
    raw = recipe.model_dump(mode="json", exclude_none=True)
    for key, value in settings.items():
        raw = recipe_file.replaced(raw, key, value, origin)
    return _validated(raw, lambda location: origin)


def sweep(recipe: Recipe, origin: str = "recipe") -> tuple[tuple[Any, Recipe], ...]:
    """Pairs each value of compare.sweep with its recipe, which sweeps no more; None and itself without a sweep.

    Raises:
        RecipeError: a value does not fit its key.
    """
    swept = recipe.compare.sweep
    if swept is None:
        return ((None, recipe),)
    once = recipe.model_copy(update={"compare": recipe.compare.model_copy(update={"sweep": None})})
    return tuple(
        (value, with_settings(once, {swept.key: value}, f"{origin}: compare.sweep, {swept.key} = {value!r}"))
        for value in swept.values
    )


def variants(recipe: Recipe, origin: str = "recipe") -> dict[str, Recipe]:
    """Returns the recipe of each of compare.variants.

    Raises:
        RecipeError: a setting is wrong, or it changes the devices or their test sets, so that the rows of one
            table would not be comparable.
    """
    found = {}
    for name, variant in recipe.compare.variants.items():
        whose = f'{origin}: compare.variants."{name}"'
        settings = {**_settings_of(variant.recipe, whose), **variant.settings}
        found[name] = with_settings(recipe, settings, whose)
        if _tested_on(found[name]) != _tested_on(recipe):
            raise RecipeError(
                f"{whose} changes the devices or their test sets, which all rows of a table share:"
                " vary that with compare.sweep."
            )
    return found


def _settings_of(name: str | None, whose: str) -> dict[str, Any]:
    """Returns the keys of a built-in recipe that a variant takes over: all that a comparison does not decide.

    Raises:
        RecipeError: there is no such recipe.
    """
    if name is None:
        return {}
    if name not in builtin():
        raise RecipeError(f"{whose} names the recipe {name!r}: take one of {', '.join(builtin())}.")
    sections = recipe_file.merged(recipe_file.read(name))
    return {
        f"{section}.{key}": value
        for section, keys in sections.items()
        if isinstance(keys, dict) and section not in ("compare", "deploy", "evaluation")
        for key, value in keys.items()
    }


def _tested_on(recipe: Recipe) -> tuple[Fleet, dict[str, Any]]:
    """Returns what decides the devices and their test sets."""
    fleet = recipe.fleet.model_copy(update={"scaling": "device", "encoding": "linear", "missing": "zero"})
    return fleet, recipe.splits.model_dump(include={"test", "kind", "block", "unit"})


def _checked(raw: Mapping[str, Any], origin: Callable[[Location], str]) -> Recipe:
    """Validates a recipe and all that its comparison makes of it."""
    recipe = _validated(raw, origin)
    for _, point in sweep(recipe, origin(("compare", "sweep"))):
        variants(point, origin(("compare", "variants")))
    return recipe


def _validated(raw: Mapping[str, Any], origin: Callable[[Location], str]) -> Recipe:
    model: Any = raw.get("model")
    counted = isinstance(model, Mapping) and model.get("inputs") == "features"
    if counted:  # from here on, also in what is written down and sent, it is a number
        raw = {**raw, "model": {**model, "inputs": LEAST}}
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{origin(error.errors()[0]['loc'])}: {sentence(error, Recipe)}") from None
    if counted:
        inputs = enough(recipe.fleet.sources, recipe.foundation)
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"inputs": inputs})})
    return recipe


def _located(recipe: Recipe, folder: Path) -> Recipe:
    def locate(source: AnySource) -> AnySource:
        if source.table is None:
            return source
        return source.model_copy(update={"table": str(folder / source.table)})

    fleet = locate(recipe.fleet).model_copy(update={"devices": tuple(map(locate, recipe.fleet.devices))})
    return recipe.model_copy(update={"fleet": fleet, "foundation": locate(recipe.foundation)})
