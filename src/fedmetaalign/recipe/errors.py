"""What pydantic finds wrong with a recipe, in one sentence that names the key as its user wrote it."""

import difflib
import re
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

Location = Sequence[int | str]
"""The parts of a key, from the outermost section."""


def sentence(error: ValidationError, recipe: type[BaseModel]) -> str:
    """Says what is wrong with the first key that has a fault; `recipe` is the class that was validated."""
    first = error.errors()[0]
    key = dotted(first["loc"])
    if first["type"] == "extra_forbidden":
        section = _section(recipe, first["loc"])
        known = [*section.model_fields, *(["extends"] if section is recipe else [])]
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0)
        return f"unknown key {key}; the nearest known one is {near[0]}."
    if first["type"] == "missing":
        return f"the key {key} is missing."
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{key + ' ' if key else ''}{message}."
    # Where a key takes one of several types, each of them says what it wants.
    wanted = [e["msg"].removeprefix("Input should be ") for e in error.errors() if dotted(e["loc"]) == key]
    return f"{key} = {first['input']!r} must be {', or '.join(dict.fromkeys(wanted))}."


def dotted(location: Location) -> str:
    """Returns the key as it is written in the recipe; pydantic adds the types of a union to its path."""
    types = re.compile(r"str|int|float|bool|constrained-.*|(literal|tuple|list|[mM]apping|dict)\[.*")
    return ".".join(str(part) for part in location if not types.fullmatch(str(part)))


def _section(section: type[BaseModel], location: Location) -> type[BaseModel]:
    """Returns the section that holds the last key of a location."""
    for part in location[:-1]:
        if part not in section.model_fields:  # a number in a list, or the name of a variant
            continue
        inner = section.model_fields[part].annotation
        candidates = [inner, *getattr(inner, "__args__", ())]
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return section
