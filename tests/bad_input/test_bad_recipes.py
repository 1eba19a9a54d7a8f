"""Recipes: no numeric key goes untried, and bytes that are no text."""

import re
import tomllib
import types
import typing
from pathlib import Path

import annotated_types
from pydantic import BaseModel

from fedmetaalign.recipe import Recipe


def test_every_numeric_key_is_among_those_that_are_tried():
    groups = tomllib.loads(Path(__file__).with_name("recipes.toml").read_text(encoding="utf-8"))
    tried = set()
    for case, sentence in groups["a value out of range"]["says"].items():
        key = case.split("=")[0]
        inner = re.search(rf": ({re.escape(key)}[.\w]*) = ", sentence)  # of a list it names what stands in it
        tried.add(re.sub(r"\.\d+", "", inner[1]) if inner else key)
    of_devices = groups["a value out of range among those of a device"]["says"]
    tried |= {f"fleet.devices.{case.split(' = ')[0]}" for case in of_devices}

    def kinds(annotation):
        """The types that an annotation is made of."""
        if typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType, tuple):
            return [kind for inner in typing.get_args(annotation) for kind in kinds(inner)]
        if typing.get_origin(annotation) is typing.Literal:
            return [type(value) for value in typing.get_args(annotation)]
        return [annotation]

    def numeric(section, path=""):
        for name, field in section.model_fields.items():
            limited = any(
                isinstance(m, annotated_types.GroupedMetadata | annotated_types.Ge) for m in field.metadata
            )
            for kind in kinds(field.annotation):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield from numeric(kind, f"{path}{name}.")
                elif kind in (int, float) or limited:
                    yield f"{path}{name}"

    values = ("positive", "normal", "classes")
    without_limits = {f"{path}{key}" for path in ("fleet.", "fleet.devices.", "foundation.") for key in values}
    without_limits.add("splits.test_units")
    assert set(numeric(Recipe)) - without_limits == tried - {
        "compare.rank",
        "compare.attack",
    }  # which are words


def test_a_recipe_that_is_not_utf_8(refused):
    Path("recipe.toml").write_bytes('name = "Pümpe"\n'.encode("latin-1"))
    assert refused("run", "recipe.toml").startswith("Cannot read the recipe recipe.toml")
