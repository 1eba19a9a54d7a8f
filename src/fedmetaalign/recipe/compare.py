"""The recipe's section on comparisons: which methods, which learning rates, what else is varied."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fedmetaalign.recipe.section import Count, Rate, Section, Share

Attack = Literal["flip", "scale", "noise", "copies", "nothing", "huge", "little", "inflated", "labels"]


def _not_its_own(key: str) -> str:
    """Refuses to replace what a comparison itself decides."""
    decided = {
        "name": "a row is called as its variant is",
        "method": "a variant names its own",
        "seed": "a comparison takes its seeds from --seeds",
        "compare": "a comparison does not change itself",
        "evaluation": "compare.methods says what is compared",
        "optimizer.learning_rate": "a comparison chooses the learning rate from compare.learning_rates",
    }
    for own, why in decided.items():
        if f"{key}.".startswith(f"{own}.") or f"{own}.".startswith(f"{key}."):
            raise ValueError(f"cannot replace {key}: {why}")
    if key.rpartition(".")[2] == "table":
        raise ValueError(f"cannot replace {key}: give another table a recipe of its own, with extends")
    return key


class Variant(Section):
    """A row of its own in a comparison's table: a method under other settings."""

    method: Annotated[str, Field(min_length=1)]
    recipe: str | None = None
    """A built-in recipe, such as "fleet", whose keys replace this one's, but for what a comparison decides."""
    settings: Mapping[Annotated[str, Field(min_length=1)], Any] = {}
    """Keys of the recipe, such as "parallel.floor", and what replaces their values."""

    @field_validator("settings")
    @classmethod
    def _not_the_comparisons(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        for key in settings:
            _not_its_own(key)
        return settings


class Sweep(Section):
    """The whole comparison, once for each value of a key."""

    key: Annotated[str, Field(min_length=1)]
    values: Annotated[tuple[Any, ...], Field(min_length=1)]

    _not_the_comparisons = field_validator("key")(_not_its_own)


class Compare(Section):
    """What `fedmetaalign compare` compares, and how learning rates are chosen."""

    methods: tuple[str, ...] = (
        *("majority", "one_rule", "forest_alone", "forest_pooled", "boosting_alone", "boosting_pooled"),
        *("local_only", "fedavg", "fedprox", "fed_meta_align"),
    )
    """The controls and the paper's four, unless the recipe names others."""
    learning_rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    """The grid that all methods share."""
    tune_seeds: Count = 3
    """The learning rate is chosen on the validation data of the first so many seeds."""
    deployed: bool = False
    """Judge networks as [deploy] makes them for the device, quantised; else as they are trained, in float32."""
    attack: Attack | None = None
    """What some of the devices do, as `federation/attacks.py` says; the others are judged."""
    hostile: Share = 0.2
    """Share of the devices that do it."""
    rank: Literal["accuracy", "macro_f1"] = "accuracy"
    """What makes a method better than another: right alarms, or, of more than two classes, right kinds."""
    variants: Mapping[Annotated[str, Field(min_length=1)], Variant] = {}
    sweep: Sweep | None = None

    @field_validator("learning_rates")
    @classmethod
    def _rising(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in pairwise(rates)):
            raise ValueError(f"must rise, and {', '.join(f'{rate:g}' for rate in rates)} do not")
        return rates

    @model_validator(mode="after")
    def _deploys(self) -> "Compare":
        keys = {key for variant in self.variants.values() for key in variant.settings}
        keys |= {self.sweep.key} if self.sweep else set()
        for key in sorted(keys):
            if f"{key}.".startswith("deploy.") and not self.deployed:
                raise ValueError(f"cannot replace {key}: a comparison deploys nothing without deployed = true")
        return self

    @model_validator(mode="after")
    def _rows(self) -> "Compare":
        if not self.methods and not self.variants:
            raise ValueError("has neither methods nor variants: name at least one")
        for i, method in enumerate(self.methods):
            if method in self.methods[:i]:
                raise ValueError(f"names the method {method} twice: take one of them out")
            if method in self.variants:
                raise ValueError(f"calls a variant {method}, as one of its methods is: give it another name")
        for name in self.variants:
            if name.endswith(".global"):
                raise ValueError(f"calls a variant {name}, as a method's global model is: give it another name")
        return self
