"""The recipe: everything that decides a result, in TOML, with a default for every key.

The sections and their keys are the classes of `data`, `training`, `deploy` and `compare` beside this file;
an unknown key is an error that names the nearest known one.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tomli_w
from pydantic import Field, ValidationError, model_validator

from fedmetaalign.errors import RecipeError
from fedmetaalign.recipe import file as recipe_file
from fedmetaalign.recipe.compare import Compare
from fedmetaalign.recipe.deploy import Deploy as Deploy
from fedmetaalign.recipe.errors import Location, dotted, sentence
from fedmetaalign.recipe.file import builtin as builtin
from fedmetaalign.recipe.fleet import Fleet
from fedmetaalign.recipe.inputs import LEAST, enough
from fedmetaalign.recipe.network import Model as Model
from fedmetaalign.recipe.network import fitted
from fedmetaalign.recipe.section import Section, Whole
from fedmetaalign.recipe.source import Partition as Partition
from fedmetaalign.recipe.source import Source as Source
from fedmetaalign.recipe.splits import Splits as Splits
from fedmetaalign.recipe.training import RULES as RULES
from fedmetaalign.recipe.training import Costs as Costs
from fedmetaalign.recipe.training import Evaluation as Evaluation
from fedmetaalign.recipe.training import Foundation as Foundation
from fedmetaalign.recipe.training import Groups as Groups
from fedmetaalign.recipe.training import Optimizer as Optimizer
from fedmetaalign.recipe.training import Parallel as Parallel
from fedmetaalign.recipe.training import Personalize as Personalize
from fedmetaalign.recipe.training import Serial as Serial
from fedmetaalign.recipe.training import Teaching as Teaching
from fedmetaalign.recipe.training import Transport as Transport
from fedmetaalign.recipe.window import Window as Window

AnySource = TypeVar("AnySource", bound=Source)


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
    def _tested_later(self) -> "Recipe":
        """Tests on the later part where a source tells the time and nobody says how to split.

        It is written down, so that it is no matter of defaults where the recipe is read again. Recordings of a
        signal have a time within, and are whole on one side of the split.
        """
        timed = [source for source in self.fleet.sources if source.time]
        if (
            "kind" not in self.splits.model_fields_set
            and timed
            and all(s.window is None or s.window.points for s in timed)
        ):
            object.__setattr__(self, "splits", self.splits.model_copy(update={"kind": "time"}))
        return self

    @model_validator(mode="after")
    def _phases_have_data(self) -> "Recipe":
        f = self.foundation
        if f.enabled and f.table is None and f.simulator is None:
            raise ValueError("foundation needs a table or a simulator, or enabled = false")
        if self.parallel.needs_root and not f.enabled:
            rule = 'aggregation = "fltrust"' if self.parallel.aggregation == "fltrust" else 'reference = "root"'
            raise ValueError(f"parallel.{rule} needs public data: set foundation.enabled = true")
        if self.parallel.asynchronous is not None and self.method != "fed_meta_align":
            raise ValueError(
                f'parallel.asynchronous is for method = "fed_meta_align", and "{self.method}" waits for all'
                " that it asks: take it out"
            )
        if (
            self.splits.kind == "units"
            and self.splits.unit is None
            and any(s.table and (s.window is None or s.window.points) for s in self.fleet.sources)
        ):
            raise ValueError('splits.kind = "units" needs splits.unit, the column that names the unit')
        if self.splits.kind == "time" and not any(s.time for s in self.fleet.sources):
            raise ValueError('splits.kind = "time" needs the column that tells the time: name it as fleet.time')
        layers = self.model.layers
        if self.deploy.format == "int8-float-head" and not int(self.personalize.freeze * layers):
            raise ValueError(
                f'deploy.format = "int8-float-head" keeps the layers that phase 3 trains in float32, and with'
                f" personalize.freeze = {self.personalize.freeze:g} it trains all {layers}: use"
                ' deploy.format = "float32", or freeze some'
            )
        if self.model.kind == "cnn" and self.fleet.missing == "regression":
            raise ValueError(
                'fleet.missing = "regression" makes up for features that a device lacks, and with'
                ' model.kind = "cnn" every device has them all: drop it'
            )
        if self.serial.shift and (self.model.kind, self.method) != ("cnn", "fleet"):
            raise ValueError(
                f"serial.shift = {self.serial.shift} moves windows in time, which only the method fleet does,"
                ' for model.kind = "cnn": set both, or drop it'
            )
        if self.serial.rounds and not self.splits.serial:
            raise ValueError(
                f"serial.rounds = {self.serial.rounds} needs samples, and splits.serial is 0: give it a share,"
                " or set serial.rounds = 0"
            )
        return self


def load(
    recipe: str, settings: Iterable[str] = (), seed: int | None = None, data: Path | str | None = None
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

    return _located(_checked(raw, origin), Path(data or files[0].path.parent).resolve())


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
        if isinstance(keys, dict) and section not in ("compare", "evaluation")
        for key, value in keys.items()
    }


def _tested_on(recipe: Recipe) -> tuple[Fleet, dict[str, Any]]:
    """Returns what decides the devices and their test sets."""
    fleet = recipe.fleet.model_copy(update={"scaling": "device", "encoding": "linear", "missing": "zero"})
    return fleet, recipe.splits.model_dump(include={"test", "kind", "block", "unit", "test_units", "stratify"})


def _checked(raw: Mapping[str, Any], origin: Callable[[Location], str]) -> Recipe:
    """Validates a recipe and all that its comparison makes of it."""
    recipe = _validated(raw, origin)
    for _, point in sweep(recipe, origin(("compare", "sweep"))):
        variants(point, origin(("compare", "variants")))
    return recipe


def _validated(raw: Mapping[str, Any], origin: Callable[[Location], str]) -> Recipe:
    model: Any = raw.get("model")
    counted = model is None or (isinstance(model, Mapping) and model.get("inputs", "features") == "features")
    if counted:  # from here on, also in what is written down and sent, it is a number
        raw = {**raw, "model": {**(model or {}), "inputs": LEAST}}
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{origin(error.errors()[0]['loc'])}: {sentence(error, Recipe)}") from None
    if counted:
        inputs = enough(recipe.fleet.sources, recipe.foundation)
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"inputs": inputs})})
    sources = (*recipe.fleet.sources, *([recipe.foundation] if recipe.foundation.enabled else []))
    try:
        return recipe.model_copy(update={"model": fitted(recipe.model, sources, counted)})
    except ValueError as error:
        raise RecipeError(f"{origin(('model',))}: model {error}.") from None


def _located(recipe: Recipe, folder: Path) -> Recipe:
    def locate(source: AnySource) -> AnySource:
        if source.table is None:
            return source
        return source.model_copy(update={"table": str(folder / source.table)})

    fleet = locate(recipe.fleet).model_copy(update={"devices": tuple(map(locate, recipe.fleet.devices))})
    return recipe.model_copy(update={"fleet": fleet, "foundation": locate(recipe.foundation)})
